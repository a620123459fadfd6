"""scripts/make_corpus.py: the layout, the levels, and that nothing of dev and test is heard in training."""

import csv
import json
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile

pytest.importorskip("py_nanotts", reason="requirements/quickstart.txt is not installed")
pyloudnorm = pytest.importorskip("pyloudnorm", reason="requirements/quickstart.txt is not installed")

from scripts import make_corpus, speech  # noqa: E402

SMALL = {"train-clean-100": 2, "dev-clean": 1, "test-clean": 1}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("a corpus")
    return folder, make_corpus.make_corpus(folder, SMALL)


def read_metadata(folder, subset):
    with open(folder / "metadata" / f"libri2mix_{subset}.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_layout(corpus):
    folder, _ = corpus
    files = sorted((folder / "LibriSpeech").rglob("*.flac"))
    assert len(files) == 12 * sum(SMALL.values())
    for path in files:
        subset, speaker, chapter = path.relative_to(folder / "LibriSpeech").parts[:3]
        assert subset in SMALL
        assert path.stem.rsplit("-", 1)[0] == f"{speaker}-{chapter}"
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.format) == (16000, 1, "FLAC")
        assert 2 < info.duration < 9
        samples, _ = soundfile.read(path)
        assert np.abs(samples).max() < 0.99


def test_mixtures(corpus):
    folder, mixtures = corpus
    assert list(mixtures) == list(SMALL)
    for subset, count in mixtures.items():
        rows = read_metadata(folder, subset)
        assert len(rows) == count > 6 * SMALL[subset]
        assert list(rows[0]) == ["mixture_ID", "source_1_path", "source_1_gain", "source_2_path", "source_2_gain"]
        pairs = [(row["source_1_path"], row["source_2_path"]) for row in rows]
        assert len({frozenset(pair) for pair in pairs}) == count
        for row, (first, second) in zip(rows, pairs, strict=True):
            assert first.split("/")[:2] != second.split("/")[:2] and first.startswith(f"{subset}/")
            assert row["mixture_ID"] == f"{Path(first).stem}_{Path(second).stem}"


def test_levels(corpus):
    folder, _ = corpus
    meter = pyloudnorm.Meter(16000)
    levels = []
    for row in read_metadata(folder, "train-clean-100"):
        mixture = np.zeros(16000 * 10)
        for number in "12":
            samples, _ = soundfile.read(folder / "LibriSpeech" / row[f"source_{number}_path"])
            samples = samples * float(row[f"source_{number}_gain"])
            levels.append(meter.integrated_loudness(samples))
            mixture[: len(samples)] += samples
        assert np.abs(mixture).max() <= 0.9 + 1e-9
    assert -33.01 < min(levels) < -31 and -27 < max(levels) < -24.99


def test_gains_are_lowered_together_where_the_sum_would_clip():
    noise = np.random.default_rng(0).standard_normal(16000) * 0.002
    click = np.zeros(16000)
    click[100] = 1.0
    first, second = noise + click, noise - 0.5 * click
    meter = pyloudnorm.Meter(16000)
    loudness = [meter.integrated_loudness(samples) for samples in (first, second)]
    gains = make_corpus.draw_gains((first, second), loudness, np.random.default_rng(1))
    assert np.abs(gains[0] * first + gains[1] * second).max() == pytest.approx(0.9)
    alone = make_corpus.draw_gains((noise, noise), [meter.integrated_loudness(noise)] * 2, np.random.default_rng(1))
    draws = np.random.default_rng(1).uniform(-33, -25, size=2)
    assert [meter.integrated_loudness(gain * noise) for gain in alone] == pytest.approx(draws)


def test_no_phrase_of_dev_and_test_is_in_training():
    with open(Path(make_corpus.__file__).parent / "sentences.json", encoding="utf-8") as file:
        languages = json.load(file)
    assert set(languages) == {speaker.voice[:2] for speaker in make_corpus.SPEAKERS}
    for phrase_lists in languages.values():
        training, held_out = (
            list(make_corpus.draw_sentences(phrase_lists, held_out, np.random.default_rng(0)))
            for held_out in (False, True)
        )
        assert len(set(training)) == len(training) == 16**4
        assert len(set(held_out)) == len(held_out) == 4**4
        for phrases in phrase_lists:
            assert len(set(phrases)) == len(phrases) == 20
            for phrase in phrases[-4:]:
                assert any(phrase in sentence for sentence in held_out)
                assert not any(phrase in sentence for sentence in training)


def test_a_sentence_is_the_same_whatever_was_spoken_before():
    speaker, other = make_corpus.SPEAKERS[0], make_corpus.SPEAKERS[7]
    first = speech.speak(speaker, "The cat sat on the mat near the window.")
    for text in ("The dog ran.", "A second sentence, which is somewhat longer than the first."):
        speech.speak(other, text)
        assert np.array_equal(speech.speak(speaker, "The cat sat on the mat near the window."), first)


def test_voices_differ(corpus):
    folder, _ = corpus
    pitches = {}
    for speaker in make_corpus.SPEAKERS:
        path = next((folder / "LibriSpeech/train-clean-100" / str(speaker.number)).rglob("*.flac"))
        samples, rate = soundfile.read(path, frames=32000)
        pitch, voiced, _ = librosa.pyin(samples, fmin=60, fmax=400, sr=rate)
        pitches[speaker.number] = np.median(pitch[voiced])
    women, men = ([pitches[number] for number in numbers] for numbers in (range(1, 7), range(7, 13)))
    assert 80 < min(men) < 110 and max(men) < 160 < min(women) and 230 < max(women) < 290


def test_corpus_is_kept(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(make_corpus, "UTTERANCES", {"dev-clean": 1})
    make_corpus.main(["--out_dir", str(tmp_path)])
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert "mixtures" in capsys.readouterr().out
    make_corpus.main(["--out_dir", str(tmp_path)])
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert "is kept" in capsys.readouterr().out


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(make_corpus.UserError, match=r"file: cannot be written .* choose another folder"):
        make_corpus.main(["--out_dir", str(tmp_path / "file")])
