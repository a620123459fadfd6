"""page/result.py: what is made of a recording, and what is said of it."""

import os
import subprocess
import sys

from device import load_to_separate

import numpy as np
import pytest
import soundfile
from conftest import ROOT
from small_recordings import tones

from common.errors import UserError
from network.checkpoint import path_or_shipped
from page.markup import error_markup, result_markup
from page.result import separate_into


@pytest.fixture(scope="module")
def net():
    return load_to_separate(path_or_shipped(None), "CPU")[0]


def made(tmp_path, net, name, samples, rate, **options):
    """The result of a file of these samples, and the parts that were said to be done."""
    soundfile.write(tmp_path / name, samples, rate, **options)
    (tmp_path / "made").mkdir()
    parts = []
    result = separate_into(str(tmp_path / "made"), str(tmp_path / name), net, parts.append)
    return result, parts


def test_files_levels_and_what_was_done(tmp_path, net):
    low, high = tones(70000, 44100)
    result, parts = made(tmp_path, net, "a b.flac", np.stack([low, high], axis=1), 44100, subtype="PCM_24")
    assert (result.name, result.notes, result.sample_rate) == ("a b.flac", [], 8000)
    assert result.seconds == 70000 / 44100 and parts[-1] == 1
    names = sorted(os.listdir(tmp_path / "made"))
    assert names == ["a b_mixture.wav", "a b_s1.wav", "a b_s2.wav"]
    assert [signal.name for signal in result.signals] == ["Mixture", "Speaker 1", "Speaker 2"]
    for signal in result.signals:
        samples, rate = soundfile.read(signal.path)
        assert rate == 44100 and len(samples) == 70000 and soundfile.info(signal.path).subtype == "PCM_24"
        assert signal.level == pytest.approx(10 * np.log10(np.mean(samples**2)), abs=1e-6)
        assert signal.picture.startswith("data:image/webp;base64,")
    np.testing.assert_allclose(soundfile.read(result.signals[0].path)[0], (low + high) / 2, atol=1e-5)
    *done, last = result.done
    assert done == [
        "1.6 s at 44100 Hz, 2 channels",
        "channels mixed to one, their mean",
        "resampled from 44100 Hz to the network's 8000 Hz, and back",
    ]
    assert last.startswith("24-bit wav at 44100 Hz, in ")


def test_a_plain_recording_needs_few_words(tmp_path, net):
    result, _ = made(tmp_path, net, "a.wav", tones(8000, 8000).sum(0), 8000)
    assert len(result.done) == 2 and result.done[0] == "1.0 s at 8000 Hz, 1 channel"


def test_what_separate_py_prints_is_shown_once(tmp_path, net, capsys):
    low = tones(8000, 8000)[0]
    result, _ = made(tmp_path, net, "a.wav", np.stack([low, -low], axis=1), 8000)
    assert result.notes == [
        "a.wav: its channels cancel each other where they are mixed to one; --channel 1 takes the first"
    ]
    assert capsys.readouterr().out == ""
    assert result.notes[0] in result_markup(result)


def test_silence_has_a_picture_and_a_level(tmp_path, net):
    result, _ = made(tmp_path, net, "a.wav", np.zeros(8000), 8000)
    assert [signal.level for signal in result.signals] == [-120] * 3


def test_errors_are_those_of_separate_py_and_leave_nothing(tmp_path, net):
    with pytest.raises(UserError, match=r"^a\.wav: empty, it has no samples$"):
        made(tmp_path, net, "a.wav", np.zeros(0), 8000)
    assert os.listdir(tmp_path / "made") == []


def test_names_are_text_in_the_page_and_places_are_quoted(tmp_path, net):
    result, _ = made(tmp_path, net, '<i>"a" & #1%.wav', tones(8000, 8000).sum(0), 8000)
    page = result_markup(result)
    assert "<i>" not in page and "&lt;i&gt;" in page and "%231%25_s1.wav" in page
    assert "<script>" not in error_markup("<script>")


MEASURED = """
import re, sys
from device import load_to_separate
from network.checkpoint import path_or_shipped
from page.result import separate_into
net = load_to_separate(path_or_shipped(None), "CPU")[0]
result = separate_into(sys.argv[2], sys.argv[1], net, lambda part: None)
assert "mindspore" not in sys.modules
print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
"""


@pytest.mark.slow
@pytest.mark.alone
def test_memory_does_not_grow_with_the_length(tmp_path):
    peaks = []
    for minutes in (1, 10):
        samples = 0.1 * np.random.default_rng(0).normal(size=minutes * 60 * 16000)
        soundfile.write(tmp_path / f"{minutes}.flac", samples, 16000)
        (tmp_path / str(minutes)).mkdir()
        command = [sys.executable, "-c", MEASURED, tmp_path / f"{minutes}.flac", tmp_path / str(minutes)]
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        peaks.append(int(ran.stdout.split()[-1]))
    assert peaks[1] < peaks[0] + 40000, peaks  # KiB; ten minutes of three signals at 16 kHz are 115 MB as floats
