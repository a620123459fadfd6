"""corpus/file_index.py: other rates, files that have changed, and what a faulty index says."""

import json

import numpy as np
import pytest
import soundfile
from scipy.signal import resample_poly
from small_corpus import RATE, arrays, make_corpus, rows, small_batches

from common import audio
from common.errors import UserError
from common.numbers import ceil_div
from corpus.loading import load_index
from data import whole_batches


def test_other_rates_are_resampled(tmp_path):
    make_corpus(tmp_path, [5001, 3000], rate=16000, ending="flac")
    index = load_index(tmp_path, RATE)
    assert index.lengths.tolist() == [2501, 1500]
    for u, (_, length, sources) in zip([0, 0, 0, 0, 1, 1], rows(small_batches(index, shuffle=0)), strict=True):
        whole = resample_poly(soundfile.read(tmp_path / "s2" / f"u{u}.flac", dtype="float64")[0], 1, 2)
        start = np.argmin(np.abs(whole - sources[1, 0]))
        np.testing.assert_allclose(sources[1, :length], whole[start : start + length], atol=1e-6)


def edit(file, change):
    table = json.loads(file.read_text())
    change(table)
    file.write_text(json.dumps(table))


KINDS = ("mix", "s1", "s2")
FAULTS = {
    "no folder": (lambda d: [f.unlink() for f in d.glob("*.json")], "mix.json: no such file"),
    "no sources": (lambda d: [(d / f"s{n}.json").unlink() for n in (1, 2)], "s1.json: no such file"),
    "a gap": (lambda d: (d / "s1.json").unlink(), "s1.json: no such file"),
    "cut": (lambda d: (d / "s2.json").write_text((d / "s2.json").read_text()[:-9]), "s2.json: cannot be read as JSON"),
    "binary": (lambda d: (d / "s2.json").write_bytes(b"\xff\xfe\x00"), "s2.json: cannot be read as JSON"),
    "no list": (lambda d: (d / "mix.json").write_text("{}"), "mix.json: not a list"),
    "empty": (lambda d: (d / "mix.json").write_text("[]"), "mix.json: not a list"),
    "text": (lambda d: edit(d / "mix.json", lambda t: t[1].__setitem__(1, "9")), "mix.json: row 1 is"),
    "1e14": (lambda d: edit(d / "mix.json", lambda t: t[1].__setitem__(1, 10**14)), "100000000000000], not a path and"),
    "1e30": (lambda d: edit(d / "mix.json", lambda t: t[1].__setitem__(1, 10**30)), "mix.json: row 1 is"),
    "1e30 everywhere": (lambda d: [edit(d / f"{n}.json", lambda t: t[1].__setitem__(1, 10**30)) for n in KINDS],
                        "mix.json: row 1 is"),
    "2^31 everywhere": (lambda d: [edit(d / f"{n}.json", lambda t: t[1].__setitem__(1, 2**31)) for n in KINDS],
                        "mix.json: row 1 is"),
    "nested": (lambda d: (d / "s2.json").write_text("[" * 100_000 + "]" * 100_000), "s2.json: cannot be read as JSON"),
    "objects": (lambda d: (d / "mix.json").write_text('{"a":' * 100_000), "mix.json: cannot be read as JSON"),
    "zero": (lambda d: edit(d / "s1.json", lambda t: t[2].__setitem__(1, 0)), "s1.json: row 2 is"),
    "three": (lambda d: edit(d / "s1.json", lambda t: t[2].append(0)), "s1.json: row 2 is"),
    "fewer": (lambda d: edit(d / "s2.json", lambda t: t.pop()), "s2.json: 4 rows, but mix.json has 5"),
    "order": (lambda d: edit(d / "s2.json", lambda t: t.reverse()), "s2.json: row 0 is"),
    "length": (lambda d: edit(d / "s2.json", lambda t: t[3].__setitem__(1, 5)), "u3.wav has 5 samples, but"),
    "a mixture twice": (lambda d: [edit(d / f"{n}.json", lambda t: t.append(t[1])) for n in KINDS],
                        "mix.json: row 5 is"),
    "s1 as s2": (lambda d: (d / "s2.json").write_text((d / "s1.json").read_text()), "s2.json: row 0 is"),
    "a mixture twice, spelled otherwise": (
        lambda d: [edit(d / f"{n}.json", lambda t: t.append([f"/.{t[1][0]}", t[1][1]])) for n in KINDS],
        "mix.json: row 5 is"),
    "s1 as s2, spelled otherwise": (
        lambda d: (d / "s2.json").write_text((d / "s1.json").read_text().replace("/s1/", "//s1/")),
        "s2.json: row 0 is"),
    "the mixture as s1": (lambda d: (d / "s1.json").write_text((d / "mix.json").read_text()), "s1.json: row 0 is"),
    "gone": (lambda d: (d / "mix" / "u0.wav").unlink(), "u0.wav: no such file"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_index(tmp_path, fault):
    make_corpus(tmp_path)
    damage, message = FAULTS[fault]
    damage(tmp_path)
    with pytest.raises(UserError) as error:
        load_index(tmp_path, RATE)
    assert message in str(error.value) and str(tmp_path) in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_index_of_another_rate(tmp_path):
    make_corpus(tmp_path, rate=16000, index_rate=16000)
    with pytest.raises(UserError, match=r"mix.json: .*u0.wav 2500 samples, but it has 1250 .*--sample-rate 8000"):
        load_index(tmp_path, RATE)
    assert load_index(tmp_path, 16000).sample_rate == 16000


@pytest.mark.parametrize("num_workers", [1, 2])
def test_unreadable_file_is_one_clear_line(tmp_path, capfd, num_workers):
    corpus = make_corpus(tmp_path)
    index = load_index(tmp_path, RATE)
    missing = tmp_path / "s2" / "u2.wav"
    missing.unlink()
    batches = small_batches(index, batch_size=1, shuffle=0, num_workers=num_workers)
    found = []
    with pytest.raises(UserError) as error:
        found.extend(batches)
    assert str(error.value) == f"{missing}: no such file"
    assert len(found) <= 6  # mixtures 0 and 1 come before it; more workers meet it sooner
    assert capfd.readouterr().err == ""
    soundfile.write(missing, corpus[2][2], RATE, subtype="FLOAT")
    assert len(rows(batches)) == 15


def test_shortened_file_is_one_clear_line(tmp_path):
    make_corpus(tmp_path)
    index = load_index(tmp_path, RATE)
    soundfile.write(tmp_path / "s1" / "u4.wav", np.zeros(3000), RATE)
    with pytest.raises(
        UserError, match=r"u4.wav: has 3000 samples at 8000 Hz, but had 4001 when .*run preprocess.py again"
    ):
        arrays(whole_batches(index, 1, 2))


def test_files_are_read_when_their_batch_is_asked_for(tmp_path, monkeypatch):
    make_corpus(tmp_path, [4000] * 200)
    read = []
    monkeypatch.setattr(
        "corpus.file_index.read_audio", lambda path, *stretch: read.append(stretch) or audio.read_audio(path, *stretch)
    )
    batches = small_batches(load_index(tmp_path, RATE), batch_size=1)
    assert read == []
    next(iter(batches))
    assert 3 <= len(read) < 600  # of 3000
    assert all(length == 800 for _, _, length, _ in read)


def test_real_speech_resampled_from_flac(shared, tmp_path):
    files = sorted((shared / "speech" / "LibriSpeech" / "train-clean-100").glob("*/*/*.flac"))[:2]
    table = json.dumps([[str(file), ceil_div(soundfile.info(file).frames, 2)] for file in files])
    for kind in ("mix", "s1"):  # enhancement of what is clean already
        (tmp_path / f"{kind}.json").write_text(table)
    index = load_index(tmp_path, RATE)
    batches = small_batches(index, segment=1.0, batch_size=4, num_workers=2)
    whole = [resample_poly(soundfile.read(file)[0], 1, 2) for file in files]
    for u, (mixture, length, sources) in zip(batches.order, rows(batches), strict=True):
        assert length == RATE
        np.testing.assert_array_equal(mixture, sources[0])
        windows = np.lib.stride_tricks.sliding_window_view(whole[u], RATE)
        start = np.argmin(np.abs(windows[:, ::2000] - mixture[::2000]).sum(axis=1))
        np.testing.assert_allclose(mixture, windows[start], atol=1e-6)
