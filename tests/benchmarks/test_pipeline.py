"""benchmarks/pipeline.py: that the corpora of noise are read whole, and timed rightly."""

from types import SimpleNamespace

import pytest

from benchmarks import pipeline
from common.command_line import parse


def test_noise_of_the_input_pipeline_is_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "UTTERANCES", 3)
    monkeypatch.setattr(pipeline, "UTTERANCE_SECONDS", (0.3, 0.5))
    monkeypatch.setattr(pipeline, "time", SimpleNamespace(perf_counter=iter([10.0, 12.0]).__next__))
    args = parse("", "benchmark", "data", "network", argv=["--seconds", "0.25", "--C", "3"])
    index = pipeline.write_noise(tmp_path, "flac", 16000, args)
    assert index.sources == 3 and len(index) == 3 and all(2400 <= length <= 4000 for length in index.lengths)
    speed, examples, memory = pipeline.time_epoch(index, 0, args)
    assert examples == 3.0  # six in two seconds
    assert speed == pytest.approx(3 * 2 * 0.25 / 2.0)  # two crops of each utterance in two seconds
    assert memory > 10e6
