"""corpus/bad_files.py: every kind of bad file, in a preparation or in the middle of an epoch, stopped at or skipped."""

import json
import os

import numpy as np
import pytest
import soundfile
from small_corpus import RATE, arrays, make_corpus, write_metadata

import preprocess
from common.errors import UserError
from corpus.bad_files import BadFiles
from corpus.loading import load_index
from data import training_batches, whole_batches

MANY = 220


def damage(path, how):
    samples, rate = soundfile.read(path)
    if how == "missing":
        os.remove(path)
    elif how == "corrupt":
        content = bytearray(path.read_bytes())
        content[len(content) // 3 : len(content) // 3 + 400] = b"\xff" * 400
        path.write_bytes(content)
    elif how == "truncated":
        path.write_bytes(path.read_bytes()[: os.path.getsize(path) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "silent header":
        soundfile.write(path, samples[:0], rate)
    elif how == "wrong rate":
        soundfile.write(path, samples, rate // 2)
    elif how == "stereo":
        soundfile.write(path, np.stack([samples, samples], 1), rate)
    elif how == "shorter":
        soundfile.write(path, samples[:-5], rate)
    elif how == "NaN":
        samples[len(samples) // 2] = np.nan
        soundfile.write(path, samples, rate, subtype="FLOAT")


IN_HEADERS = {
    "missing": "no such file",
    "truncated": "cut short",
    "empty": "empty, it has no bytes",
    "silent header": "empty, it has no samples",
    "wrong rate": "4000 Hz",
    "stereo": "2 channels",
    "shorter": "795 samples",
}


def make_tree(folder, mixtures):
    for number, (_, *sources) in enumerate(make_corpus(folder / "tr", [800] * mixtures)):
        soundfile.write(folder / "tr" / "mix" / f"u{number}.wav", sum(sources), RATE, subtype="FLOAT")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A set of many short utterances, as folders."""
    folder = tmp_path_factory.mktemp("tree")
    make_tree(folder, MANY)
    for name in ("mix", "s1", "s2"):
        (folder / "tr" / f"{name}.json").unlink()
    return folder


@pytest.fixture
def spoilt(tree, tmp_path):
    """That set, of links, some of which can be replaced by bad files."""

    def spoil(*damages):
        for kind in ("mix", "s1", "s2"):
            (tmp_path / "in" / "tr" / kind).mkdir(parents=True)
            for path in (tree / "tr" / kind).iterdir():
                os.link(path, tmp_path / "in" / "tr" / kind / path.name)
        for number, how in enumerate(damages):
            path = tmp_path / "in" / "tr" / "s2" / f"u{100 + number}.wav"
            content = path.read_bytes()
            path.unlink()  # the link, not what it leads to
            path.write_bytes(content)
            damage(path, how)
        return tmp_path / "in"

    return spoil


def prepare(folder, out, *options):
    preprocess.main(["--in-dir", str(folder), "--out-dir", str(out), *options])


@pytest.mark.parametrize("how", IN_HEADERS)
def test_in_the_index_step(spoilt, tmp_path, how, capsys):
    folder, out = spoilt(how), tmp_path / "out"
    bad = str(folder / "tr" / "s2" / "u100.wav")
    reason = "no file u100 in" if how == "missing" else IN_HEADERS[how]
    with pytest.raises(UserError, match=reason):
        prepare(folder, out)
    assert not out.exists()
    prepare(folder, out, "--on_bad_file", "skip")
    rows = json.loads((out / "tr" / "mix.json").read_text())
    assert len(rows) == MANY - 1 and not any(path.endswith("u100.wav") for path, _ in rows)
    (line,) = (out / "bad_files.txt").read_text().splitlines()
    assert reason in line and (bad in line or how == "missing")
    assert f"skipped: 1 mixtures, see {out / 'bad_files.txt'}" in capsys.readouterr().out


def test_more_than_one_percent_fails_and_lists_all(spoilt, tmp_path):
    folder, out = spoilt("truncated", "empty", "stereo"), tmp_path / "out"
    with pytest.raises(UserError, match=r"3 of 220 mixtures have a bad file, more than 1%; .*bad_files.txt lists them"):
        prepare(folder, out, "--on_bad_file", "skip")
    assert len((out / "bad_files.txt").read_text().splitlines()) == 3 and not (out / "tr").exists()
    make_tree(tmp_path / "good", 1)
    prepare(tmp_path / "good", out, "--on_bad_file", "skip")
    assert not (out / "bad_files.txt").exists()  # the list was of another time


@pytest.mark.parametrize("how", [*IN_HEADERS, "NaN"])
def test_in_the_middle_of_an_epoch(spoilt, tmp_path, how):
    folder = spoilt()
    prepare(folder, tmp_path / "out")
    index = load_index(tmp_path / "out" / "tr", RATE)
    bad = folder / "tr" / "s2" / "u100.wav"
    content = bad.read_bytes()
    bad.unlink()
    bad.write_bytes(content)
    damage(bad, how)
    reasons = {"NaN": "has NaN", "wrong rate": "has 1600 samples at 8000 Hz, but had 800"}
    reason = (IN_HEADERS | reasons | {"shorter": "has 795 samples"})[how]
    with pytest.raises(UserError, match=reason):
        arrays(training_batches(index, 8, 0.1, 1, 0, 0, 2))
    for batches in (training_batches, whole_batches):
        bad_files = BadFiles("skip", str(tmp_path / "bad_files.txt"))
        given = (8, 0.1, 1, 0, 0, 2) if batches is training_batches else (8, 2)
        found = batches(index, *given, bad_files=bad_files)
        lengths = np.concatenate([lengths for _, lengths, _ in arrays(found)])
        assert bad_files.skipped == 1
        assert [found.order[row] for row in np.flatnonzero(lengths == 0)] == [index.names.index("u100")]
        assert str(bad) in (tmp_path / "bad_files.txt").read_text()
        first = arrays(found)  # once more: the same place
        assert bad_files.skipped == 2 and len((tmp_path / "bad_files.txt").read_text().splitlines()) == 1
        silent = next(m for m, batch in enumerate(first) if 0 in batch[1])
        row = first[silent][1].tolist().index(0)
        assert not first[silent][0][row].any() and not first[silent][2][row].any()
        assert first[silent][1].max() == 800


def test_an_epoch_with_too_many_ends_at_once(spoilt, tmp_path):
    folder = spoilt()
    prepare(folder, tmp_path / "out")
    index = load_index(tmp_path / "out" / "tr", RATE)
    for path in sorted((folder / "tr" / "s1").iterdir())[50:]:
        path.unlink()
    bad_files = BadFiles("skip", str(tmp_path / "bad_files.txt"))
    count = 0
    with pytest.raises(UserError, match=r"of 220 mixtures have a bad file, more than 1%"):
        for _ in training_batches(index, 2, 0.1, 1, 0, 0, 1, bad_files=bad_files):
            count += 1
    assert count < 20 and len((tmp_path / "bad_files.txt").read_text().splitlines()) >= 3


def test_the_limit_is_of_the_whole_epoch_where_only_its_end_is_read(spoilt, tmp_path):
    folder = spoilt()
    prepare(folder, tmp_path / "out")
    index = load_index(tmp_path / "out" / "tr", RATE)
    (folder / "tr" / "s1" / "u99.wav").unlink()  # the last but one, as names are sorted
    bad_files = BadFiles("skip", str(tmp_path / "bad_files.txt"))
    rest = training_batches(index, 2, 0.1, 0, 0, 0, 1, first=105, bad_files=bad_files)
    assert len(arrays(rest)) == 5 and bad_files.skipped == 1


@pytest.fixture
def metadata(tmp_path):
    """Metadata of 220 mixtures of 221 voices and as many noises."""
    random = np.random.default_rng(0)
    (tmp_path / "noise").mkdir()
    (tmp_path / "LibriSpeech").mkdir()
    for number in range(MANY + 1):
        for path in (f"LibriSpeech/{number}-1-0000.flac", f"noise/{number}.wav"):
            soundfile.write(tmp_path / path, random.uniform(-0.3, 0.3, 1600), 16000)
    rows = [
        (f"m{n}", [(f"{n}-1-0000.flac", 0.5), (f"{n + 1}-1-0000.flac", 0.5)], (f"{n}.wav", 0.3)) for n in range(MANY)
    ]
    write_metadata(tmp_path / "md" / "libri2mix_dev-clean.csv", rows)
    return tmp_path


def prepare_metadata(folder, *options):
    given = ["--librispeech-dir", folder / "LibriSpeech", "--metadata-dir", folder / "md", *options]
    preprocess.main([*map(str, given)])


@pytest.mark.parametrize("route", ["--out-dir", "--generate"])
@pytest.mark.parametrize("where", ["LibriSpeech/100-1-0000.flac", "noise/100.wav"])
@pytest.mark.parametrize("how", ["missing", "empty", "wrong rate"])
def test_metadata_with_bad_files(metadata, route, where, how, capsys):
    noisy = ["--noise-dir", metadata / "noise", *(["--task", "sep_noisy"] if route == "--out-dir" else [])]
    damage(metadata / where, how)
    reasons = {"missing": "no such", "empty": "empty, it has no bytes", "wrong rate": "8000 Hz"}
    reason = f"line 10[12]: .*{where}: {reasons[how]}"
    with pytest.raises(UserError, match=reason):
        prepare_metadata(metadata, route, metadata / "out", *noisy)
    assert not (metadata / "out").exists()
    prepare_metadata(metadata, route, metadata / "out", *noisy, "--on_bad_file", "skip")
    lines = (metadata / "out" / "bad_files.txt").read_text().splitlines()
    assert len(lines) == (2 if "flac" in where else 1) and all(where in line for line in lines)  # mixtures that have it
    assert f": {MANY - len(lines)} mixtures" in capsys.readouterr().out


def test_generating_over_a_file_that_is_bad_inside(metadata, capsys):
    damage(metadata / "LibriSpeech" / "100-1-0000.flac", "corrupt")
    with pytest.raises(UserError, match=r"m(99|100): .*100-1-0000.flac: "):
        prepare_metadata(metadata, "--generate", metadata / "lm")
    prepare_metadata(metadata, "--generate", metadata / "lm", "--out-dir", metadata / "out", "--on_bad_file", "skip")
    assert len(load_index(metadata / "out" / "cv", RATE)) == MANY - 2
    assert "skipped: 2 mixtures" in capsys.readouterr().out


def test_two_mixtures_of_one_name_in_a_set(metadata):
    rows = [("m1", [("5-1-0000.flac", 0.5), ("9-1-0000.flac", 0.5)], ("5.wav", 0.3))]
    for name in ("train-clean-100", "train-clean-360"):
        write_metadata(metadata / "two" / f"libri2mix_{name}.csv", rows)
    with pytest.raises(UserError, match="m1: is the name of two mixtures of one set"):
        prepare_metadata(metadata, "--metadata-dir", metadata / "two", "--out-dir", metadata / "out")


def test_lengths_from_a_table_open_no_file(metadata, capsys):
    prepare_metadata(metadata, "--out-dir", metadata / "looked")
    (metadata / "LibriSpeech" / "metadata").mkdir()
    table = metadata / "LibriSpeech" / "metadata" / "dev-clean.csv"
    rows = [f"{n},F,dev-clean,1600,{n}-1-0000.flac\n" for n in range(MANY + 1)]
    table.write_text("speaker_ID,sex,subset,length,origin_path\n" + "".join(rows[:-1]))
    for n in range(MANY):
        (metadata / "LibriSpeech" / f"{n}-1-0000.flac").write_bytes(b"")
    prepare_metadata(metadata, "--out-dir", metadata / "known")
    output = capsys.readouterr().out
    assert "lengths: from dev-clean.csv in" in output and "lengths: from the headers of 1 files" in output
    known, looked = (json.loads((metadata / out / "cv" / "mixtures.json").read_text()) for out in ("known", "looked"))
    assert known == looked
    with pytest.raises(UserError, match="empty, it has no bytes"):
        arrays(whole_batches(load_index(metadata / "known" / "cv", RATE), 2, 1))
    table.write_text(table.read_text().replace("1600,7-1", "many,7-1"))
    with pytest.raises(UserError, match=r"dev-clean.csv, line 9: length many"):
        prepare_metadata(metadata, "--out-dir", metadata / "known")
