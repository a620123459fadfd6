"""corpus/generate.py: the written files against LibriMix's arithmetic, the metadata's mistakes, and a second run."""

import csv
import json

import numpy as np
import pytest
import soundfile
from scipy.signal import resample_poly
from small_corpus import STEP, write_metadata

import preprocess
from common.errors import UserError
from corpus.mixtures import extend_noise


def run(corpus, *options, noise=True):
    noisy = ["--noise-dir", str(corpus / "noises")] if noise else []
    given = ["--librispeech-dir", str(corpus / "LibriSpeech"), "--metadata-dir", str(corpus / "md"), *noisy]
    preprocess.main([*given, "--generate", str(corpus / "out"), *map(str, options)])


def long_noise(path, length):
    """The noise as one sum over its faded repetitions, each 8001 samples over the one before."""
    noise = soundfile.read(path, always_2d=True)[0][:, 0]
    position = np.arange(8001) / 16000
    fade = np.sin(np.pi * position) ** 2  # the rising half of a one-second Hann window
    total = np.zeros(length + 2 * len(noise))
    for number, start in enumerate(range(0, length, len(noise) - 8001)):
        copy = noise.copy()
        if start + len(noise) < length:
            copy[-8001:] *= fade[::-1]
        if number:
            copy[:8001] *= fade
        total[start : start + len(noise)] += copy
        if start + len(noise) >= length:
            break
    return total[:length]


def expected_signals(sources, noise, mode, rate):
    """Every signal of a mixture from [(path, gain)], in double precision."""
    voices = [(soundfile.read(path)[0], gain) for path, gain in sources]
    longest = max(len(samples) for samples, _ in voices)
    voices.append((long_noise(noise[0], longest), noise[1]))
    signals = [resample_poly(samples * gain, rate, 16000) for samples, gain in voices]
    length = (min if mode == "min" else max)(len(samples) for samples in signals)
    fitted = np.zeros((len(signals), length))
    for row, samples in zip(fitted, signals, strict=True):
        row[: min(length, len(samples))] = samples[:length]
    named = {f"s{number + 1}": samples for number, samples in enumerate(fitted[:-1])}
    mixes = {"mix_clean": fitted[:-1].sum(0), "mix_both": fitted.sum(0), "mix_single": fitted[0] + fitted[-1]}
    return named | mixes | {"noise": fitted[-1]}


def assert_written(folder, name, expected, rate):
    for signal, samples in expected.items():
        written, written_rate = soundfile.read(folder / signal / f"{name}.wav")
        assert written_rate == rate
        assert len(written) == len(samples), signal
        assert np.abs(written - samples).max() <= 0.51 * STEP, signal  # rounded, and computed in float32


@pytest.mark.parametrize(("mode", "rate"), [("min", 8000), ("max", 8000), ("max", 16000)])
def test_samples_are_those_of_librimix(corpus, mode, rate):
    run(corpus, "--mode", mode, "--sample-rate", rate)
    speech, noises = corpus / "LibriSpeech" / "dev-clean", corpus / "noises"
    folder = corpus / "out" / "Libri2Mix" / f"wav{rate // 1000}k" / mode / "dev"
    sources = [(speech / "a.flac", 0.7), (speech / "b.flac", 1.3)]
    assert_written(folder, "a_b", expected_signals(sources, (noises / "short.wav", 0.5), mode, rate), rate)
    sources = [(speech / "c.flac", 0.9), (speech / "a.flac", 0.6)]
    assert_written(folder, "c_a", expected_signals(sources, (noises / "stereo.wav", 0.4), mode, rate), rate)
    assert {len(list(path.iterdir())) for path in folder.iterdir()} == {2}, (
        "two files in each folder, none half written"
    )


@pytest.mark.parametrize(("speakers", "mode"), [(2, "min"), (3, "max")])
def test_real_speech(shared, tmp_path, speakers, mode):
    speech = shared / "speech"
    name = f"libri{speakers}mix_dev-clean.csv"
    lines = (speech / "metadata" / f"Libri{speakers}Mix" / name).read_text().splitlines(keepends=True)[:4]
    (tmp_path / "md").mkdir()
    (tmp_path / "md" / name).write_text("".join(lines))
    given = ["--librispeech-dir", speech / "LibriSpeech", "--metadata-dir", tmp_path / "md", "--noise-dir", speech]
    preprocess.main([*map(str, [*given, "--generate", tmp_path / "out", "--mode", mode])])
    for row in csv.DictReader(lines):
        sources = [
            (speech / "LibriSpeech" / row[f"source_{n}_path"], float(row[f"source_{n}_gain"]))
            for n in range(1, speakers + 1)
        ]
        noise = speech / row["noise_path"], float(row["noise_gain"])
        expected = expected_signals(sources, noise, mode, 8000)
        assert_written(
            tmp_path / "out" / f"Libri{speakers}Mix" / "wav8k" / mode / "dev", row["mixture_ID"], expected, 8000
        )


def test_extended_noise_keeps_its_beginning_and_level():
    noise = np.ones(20000, np.float32)
    extended = extend_noise(noise, 70001)
    assert extended.shape == (70001,)
    np.testing.assert_allclose(extended, 1, atol=1e-6)  # the two halves of a Hann window add up to one


def test_without_noise_the_speakers_are_the_same_and_a_later_run_adds_the_noise(corpus):
    run(corpus, noise=False)
    folder = corpus / "out" / "Libri2Mix" / "wav8k" / "min" / "dev"
    assert sorted(path.name for path in folder.iterdir()) == ["mix_clean", "s1", "s2"]
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*.wav")}
    run(corpus)
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before} == before
    assert sorted(path.name for path in folder.iterdir()) == [
        "mix_both",
        "mix_clean",
        "mix_single",
        "noise",
        "s1",
        "s2",
    ]


def test_a_second_run_writes_only_what_is_missing_or_cut(corpus, capsys):
    run(corpus, noise=False)
    folder = corpus / "out" / "Libri2Mix" / "wav8k" / "min" / "dev"
    first = {path: path.read_bytes() for path in folder.rglob("*.wav")}
    (folder / "s1" / "a_b.wav").unlink()
    (folder / "mix_clean" / "c_a.wav").write_bytes(first[folder / "mix_clean" / "c_a.wav"][:5000])
    capsys.readouterr()
    run(corpus, noise=False)
    assert "2 files written, 4 kept" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in folder.rglob("*.wav")} == first


def test_other_metadata_is_not_mixed_in(corpus):
    run(corpus, noise=False)
    table = corpus / "md" / "libri2mix_dev-clean.csv"
    table.write_text(table.read_text().replace("1.3", "1.2"))
    with pytest.raises(UserError, match=r"dev: was not generated from .*libri2mix_dev-clean.csv"):
        run(corpus, noise=False)


def test_generated_tree_is_indexed_in_the_same_call(corpus):
    run(corpus, "--out-dir", corpus / "index", "--task", "sep_noisy")
    index = json.loads((corpus / "index" / "cv" / "mix.json").read_text())
    folder = corpus / "out" / "Libri2Mix" / "wav8k" / "min" / "dev" / "mix_both"
    assert index == [[str(folder / "a_b.wav"), 15001], [str(folder / "c_a.wav"), 15001]]


def test_mixtures_that_clip_are_reported(corpus, capsys):
    table = corpus / "md" / "libri2mix_dev-clean.csv"
    table.write_text(table.read_text().replace("1.3", "9.5"))
    run(corpus, noise=False)
    assert "warning: 1 mixtures" in capsys.readouterr().out


def test_two_and_three_speakers_are_both_generated_but_not_indexed_together(corpus):
    sources = [(f"dev-clean/{name}.flac", 0.5) for name in "abc"]
    (corpus / "md" / "Libri3Mix").mkdir()
    write_metadata(corpus / "md" / "Libri3Mix" / "libri3mix_test-clean.csv", [("a_b_c", sources, ("short.wav", 1))])
    with pytest.raises(UserError, match="has metadata of 2 and 3"):
        run(corpus, "--out-dir", corpus / "index")
    assert not (corpus / "out").exists()
    run(corpus, noise=False)
    assert (corpus / "out" / "Libri2Mix" / "wav8k" / "min" / "dev" / "s2" / "c_a.wav").exists()
    assert (corpus / "out" / "Libri3Mix" / "wav8k" / "min" / "test" / "s3" / "a_b_c.wav").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("0.7", "loud", r"libri2mix_dev-clean.csv, line 2: source_1_gain loud"),
        ("0.6", "nan", r"line 3: source_2_gain nan"),
        ("0.6", "-1", r"line 3: source_2_gain -1"),
        ("c_a,", "a_b,", r"line 3: mixture_ID a_b is that of line 2"),
        ("c_a,", "../c_a,", r"line 3: mixture_ID '../c_a'"),
        ("source_2_gain", "gain_2", r"no column source_2_gain"),
        ("dev-clean/c.flac", "dev-clean/d.flac", r"line 3: .*dev-clean/d.flac: no such file"),
        ("stereo.wav", "street.wav", r"line 3: .*street.wav: no such noise"),
        ("stereo.wav,0.4", "", r"line 3: noise_path: is empty"),
        ("dev-clean/c.flac", "../slow.wav", r"line 3: .*slow.wav: 8000 Hz"),
        ("short.wav", "../slow.wav", r"line 2: .*slow.wav: 8000 Hz"),
        ("short.wav", "../blip.wav", r"line 2: .*blip.wav: 8001 samples"),
        ("short.wav", "../notes.wav", r"line 2: .*notes.wav: not an audio file"),
    ],
)
def test_mistakes_in_metadata(corpus, old, new, message):
    soundfile.write(corpus / "slow.wav", np.full(9000, 0.1), 8000)
    soundfile.write(corpus / "blip.wav", np.full(8001, 0.1), 16000)
    (corpus / "notes.wav").write_text("no audio")
    table = corpus / "md" / "libri2mix_dev-clean.csv"
    assert old in table.read_text()
    table.write_text(table.read_text().replace(old, new))
    with pytest.raises(UserError, match=message) as caught:
        run(corpus)
    assert "\n" not in str(caught.value)
    assert not list(corpus.glob("out/**/*.wav"))


@pytest.mark.parametrize(("content", "message"), [(b"", "no column"), (b"\xff\xfe\x00", "cannot be read as csv")])
def test_metadata_that_is_no_table(corpus, content, message):
    table = corpus / "md" / "libri2mix_dev-clean.csv"
    table.write_bytes(content)
    with pytest.raises(UserError, match=f"libri2mix_dev-clean.csv: {message}"):
        run(corpus)


def test_metadata_without_rows_or_twice_or_not_there(corpus):
    table = corpus / "md" / "libri2mix_dev-clean.csv"
    content = table.read_text()
    table.write_text(content.splitlines(keepends=True)[0])
    with pytest.raises(UserError, match="no mixtures"):
        run(corpus)
    (corpus / "md" / "Libri2Mix").mkdir()
    (corpus / "md" / "Libri2Mix" / table.name).write_text(content)
    with pytest.raises(UserError, match="is also at"):
        run(corpus)
    (corpus / "md" / "Libri2Mix" / table.name).unlink()
    table.unlink()
    with pytest.raises(UserError, match=r"md: no metadata here; looked for libri2mix_train-clean-100.csv"):
        run(corpus)
