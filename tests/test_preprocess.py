"""preprocess.py: what it finds at each level of a corpus, how it pairs files, and each mistake's one line."""

import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import soundfile

from common.errors import UserError
from corpus.loading import load_index
from preprocess import main

SCRIPT = Path(__file__).resolve().parent.parent / "preprocess.py"
NAMES = ("way.wav", "b_0.97482_-0.97482.wav", "a.wav")


def write_set(folder, folders=("mix_clean", "s1", "s2"), names=NAMES, rate=8000, samples=801):
    """Silent files of one length in the folders of a set, written in another order in each."""
    for number, name in enumerate(folders):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for file in names[number % len(names) :] + names[: number % len(names)]:
            soundfile.write(folder / name / file, np.zeros(samples), rate)


def index(in_dir, out_dir, *options):
    main(["--in-dir", str(in_dir), "--out-dir", str(out_dir), *map(str, options)])
    return {
        f"{path.parent.name}/{path.stem}": json.loads(path.read_text())
        for path in sorted(Path(out_dir).glob("*/*.json"))
    }


@pytest.fixture
def librimix(tmp_path):
    """The root of a Libri2Mix of all four sets."""
    for name in ("train-100", "train-360", "dev", "test"):
        names = tuple(f"{name}-{file}" for file in NAMES)
        write_set(tmp_path / "Libri2Mix" / "wav8k" / "min" / name, names=names)
    return tmp_path


@pytest.mark.parametrize("level", [".", "Libri2Mix", "Libri2Mix/wav8k", "Libri2Mix/wav8k/min", "Libri2Mix/wav8k/min/"])
def test_any_level_of_librimix(librimix, tmp_path, level):
    tables = index(librimix / level, tmp_path / "out")
    assert set(tables) == {f"{name}/{file}" for name in ("tr", "cv", "tt") for file in ("mix", "s1", "s2")}
    assert len(tables["tr/mix"]) == 6 and len(tables["cv/mix"]) == len(tables["tt/mix"]) == 3
    root = librimix / "Libri2Mix" / "wav8k" / "min"
    assert tables["cv/s2"] == [[str(root / "dev" / "s2" / f"dev-{name}"), 801] for name in sorted(NAMES)]
    for name in ("tr", "cv", "tt"):
        mixtures = [os.path.basename(path) for path, _ in tables[f"{name}/mix"]]
        assert mixtures == sorted(mixtures)
        for source in ("s1", "s2"):
            assert [os.path.basename(path) for path, _ in tables[f"{name}/{source}"]] == mixtures


def test_one_set_alone(librimix, tmp_path, capsys):
    tables = index(librimix / "Libri2Mix/wav8k/min/test", tmp_path / "out", "--sample-rate", 16000)
    assert set(tables) == {"tt/mix", "tt/s1", "tt/s2"}
    assert {samples for _, samples in tables["tt/mix"]} == {1602}
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("found test in ")
    assert lines[-2] == "tt: 3 mixtures, 0.00 hours at 16000 Hz, shortest 0.10 s, longest 0.10 s"
    assert lines[-1] == "skipped: 0 mixtures"


def test_plain_sets_of_three_speakers_with_other_files_among_them(tmp_path):
    write_set(tmp_path / "in" / "cv", ("mix", "s1", "s2", "s3"), rate=16000, samples=12345)
    (tmp_path / "in" / "cv" / "mix" / ".hidden.wav").write_text("")
    (tmp_path / "in" / "cv" / "s1" / "notes.txt").write_text("recorded on Monday")
    tables = index(tmp_path / "in", tmp_path / "out")
    assert set(tables) == {"cv/mix", "cv/s1", "cv/s2", "cv/s3"}
    assert tables["cv/s3"] == [[str(tmp_path / "in" / "cv" / "s3" / name), 6173] for name in sorted(NAMES)]


def test_flac_pairs_with_wav(tmp_path):
    write_set(tmp_path / "tt", ("mix", "s1"), names=("x.1.wav",))
    write_set(tmp_path / "tt", ("s2",), names=("x.1.flac",))
    tables = index(tmp_path, tmp_path / "out")
    assert tables["tt/s2"] == [[str(tmp_path / "tt" / "s2" / "x.1.flac"), 801]]


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_an_accent_pairs_however_it_is_written(tmp_path, forms):
    """As one letter (Linux), or as a letter and its accent (macOS)."""
    mixture, source = (f"{unicodedata.normalize(form, 'Zoë_é')}.wav" for form in forms)
    write_set(tmp_path / "tt", ("mix", "s1"), names=(mixture,))
    write_set(tmp_path / "tt", ("s2",), names=(source,))
    tables = index(tmp_path, tmp_path / "out")
    assert tables["tt/mix"] == [[str(tmp_path / "tt" / "mix" / mixture), 801]]
    assert tables["tt/s2"] == [[str(tmp_path / "tt" / "s2" / source), 801]]
    assert load_index(tmp_path / "out" / "tt", 8000).names == [unicodedata.normalize("NFC", "Zoë_é")]
    soundfile.write(tmp_path / "tt" / "s2" / mixture, np.zeros(801), 8000)
    with pytest.raises(UserError, match="has the name of"):
        index(tmp_path, tmp_path / "out")


@pytest.mark.parametrize(
    ("task", "files"),
    [
        ("sep_clean", {"mix": "mix_clean", "s1": "s1", "s2": "s2"}),
        ("sep_noisy", {"mix": "mix_both", "s1": "s1", "s2": "s2"}),
        ("enh_single", {"mix": "mix_single", "s1": "s1"}),
        ("enh_both", {"mix": "mix_both", "s1": "mix_clean"}),
    ],
)
def test_tasks(tmp_path, task, files):
    write_set(tmp_path / "wav8k/min/dev", ("mix_clean", "mix_both", "mix_single", "noise", "s1", "s2"))
    index(tmp_path, tmp_path / "out")  # whose second source has to go
    tables = index(tmp_path, tmp_path / "out", "--task", task)
    folders = {name: {os.path.basename(os.path.dirname(path)) for path, _ in rows} for name, rows in tables.items()}
    assert folders == {f"cv/{name}": {folder} for name, folder in files.items()}


def test_sample_rate_chooses_among_rates(tmp_path):
    for rate in (8, 16):
        write_set(tmp_path / f"wav{rate}k/max/test", rate=1000 * rate)
    for rate in (8, 16):
        tables = index(tmp_path, tmp_path / f"out{rate}", "--sample_rate", 1000 * rate)
        assert tables["tt/mix"][0] == [str(tmp_path / f"wav{rate}k/max/test/mix_clean/a.wav"), 801]
    with pytest.raises(UserError, match="has wav16k, wav8k; say which"):
        index(tmp_path, tmp_path / "out", "--sample-rate", 44100)


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        (("wav8k/min", "wav8k/max"), r"wav8k: has max, min; say which, as in --in-dir .*wav8k/max"),
        (("Libri2Mix/wav8k/min", "Libri3Mix/wav8k/min"), "has Libri2Mix, Libri3Mix; say which"),
    ],
)
def test_several_trees(tmp_path, levels, message):
    for level in levels:
        write_set(tmp_path / level / "dev")
    with pytest.raises(UserError, match=message):
        index(tmp_path, tmp_path / "out")
    assert set(index(tmp_path / levels[0], tmp_path / "out")) == {"cv/mix", "cv/s1", "cv/s2"}


def spoil(folder, file, what):
    path = folder / file
    if what == "missing":
        path.unlink()
    elif what == "text":
        path.write_text("no audio")
    elif what == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    elif what == "unequal":
        soundfile.write(path, np.full(800, 0.1), 8000)
    elif what == "rate":
        soundfile.write(path, np.full(1602, 0.1), 16000)
    elif what == "stereo":
        soundfile.write(path, np.full((801, 2), 0.1), 8000)
    elif what == "empty":
        soundfile.write(path, np.zeros(0), 8000)
    elif what == "twice":
        soundfile.write(path.with_suffix(".flac"), np.full(801, 0.1), 8000)


@pytest.mark.parametrize(
    ("file", "what", "message"),
    [
        ("s2/a.wav", "missing", r"mix_clean/a.wav: no file a in .*s2"),
        ("mix_clean/way.wav", "missing", r"s1/way.wav: no file way in .*mix_clean"),
        ("s1/a.wav", "text", r"s1/a.wav: not an audio file"),
        ("s1/a.wav", "cut", r"s1/a.wav: cut short"),
        ("s2/a.wav", "unequal", r"s2/a.wav: 800 samples, but its mixture .*mix_clean/a.wav has 801"),
        ("mix_clean/way.wav", "rate", r"mix_clean/way.wav: 16000 Hz, but .* has 8000"),
        ("s2/way.wav", "stereo", r"s2/way.wav: 2 channels"),
        ("s2/way.wav", "empty", r"s2/way.wav: empty"),
        ("s2/way.wav", "twice", r"s2/way.wav: has the name of .*s2/way.flac"),
    ],
)
def test_a_bad_file_is_named_and_nothing_is_written(tmp_path, file, what, message):
    write_set(tmp_path / "in" / "dev")
    spoil(tmp_path / "in" / "dev", file, what)
    with pytest.raises(UserError, match=message) as caught:
        index(tmp_path / "in", tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (("mix_both", "s1", "s2"), r"dev: no folder mix_clean; it has mix_both"),
        (("mix_clean", "s1"), r"dev: no folder s2; it has s1"),
        (("mix_clean", "s1", "s3"), r"dev: no folder s2; it has s1, s3"),
        (("s1", "s2"), r"dev: no folder mix_clean; it has no folder of mixtures"),
    ],
)
def test_missing_folders(tmp_path, folders, message):
    write_set(tmp_path / "dev", folders)
    with pytest.raises(UserError, match=message):
        index(tmp_path, tmp_path / "out")


def test_empty_folder_and_sets_of_unequal_speakers(tmp_path):
    write_set(tmp_path / "tr", ("mix", "s1", "s2"))
    write_set(tmp_path / "tt", ("mix", "s1", "s2", "s3"))
    with pytest.raises(UserError, match=r"tt: has 3 sources, but .*tr has 2"):
        index(tmp_path, tmp_path / "out")
    for name in ("mix", "s1", "s2"):
        (tmp_path / "other" / "tr" / name).mkdir(parents=True)
    with pytest.raises(UserError, match=r"other/tr/mix: no wav or flac files"):
        index(tmp_path / "other", tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("", "--in-dir, --metadata-dir: give a corpus"),
        ("--in-dir IN --metadata-dir IN --out-dir OUT", "--in-dir, --metadata-dir: give a corpus"),
        ("--in-dir IN --librispeech-dir IN --out-dir OUT", "--in-dir, --metadata-dir: give a corpus"),
        ("--in-dir IN", "--out-dir: give the folder"),
        ("--in-dir IN --generate G --out-dir OUT", "--generate G: only --metadata-dir uses it"),
        ("--in-dir IN --out-dir OUT --sample-rate 0", "--sample_rate 0: must be from 1000 to 768000, in Hz"),
        ("--in-dir IN --out-dir OUT --sample-rate 999", "--sample_rate 999: must be from 1000 to 768000, in Hz"),
        ("--in-dir IN --out-dir OUT --sample-rate 768001", "--sample_rate 768001: must be from 1000 to 768000, in Hz"),
        ("--in-dir IN --out-dir OUT --mode max", "--mode max: only --metadata-dir"),
        ("--out-dir OUT --librispeech-dir IN --metadata-dir IN --check all", "--check all: mixtures are not computed"),
        ("--in-dir IN --out-dir OUT --noise-dir IN", "--noise-dir IN: only --metadata-dir"),
        ("--in-dir IN --out-dir OUT --train-name F --test-name F", "are the same file"),
        ("--in-dir IN --out-dir OUT --train-name F --test-name OUT/F", "are the same file"),
        ("--in-dir IN --out-dir OUT --train-name F", "--train_name F: no set for it"),
        ("--in-dir IN --out-dir OUT --task sep_noisy", "no folder mix_both; it has mix"),
        ("--in-dir IN/cv/mix --out-dir OUT", r"mix: no corpus here; looked for the sets train-100"),
        ("--in-dir nowhere --out-dir OUT", r"nowhere: cannot be listed \(No such file or directory\)"),
        ("--in-dir IN --out-dir IN/cv/mix/a.wav", "a.wav/cv: cannot be made"),
        ("--generate G --metadata-dir IN", "--librispeech-dir: is missing"),
        ("--generate G --librispeech-dir IN", "--metadata-dir: is missing"),
        ("--out-dir OUT --librispeech-dir IN", "--metadata-dir: is missing"),
        ("--generate G --librispeech-dir LS --metadata-dir IN", "--librispeech-dir LS: no such folder"),
        ("--generate G --librispeech-dir IN --metadata-dir IN --sample-rate 44100", "LibriSpeech has 16000 Hz"),
        ("--generate G --librispeech-dir IN --metadata-dir IN --train-name F", "--train_name F: needs --out-dir"),
        ("--generate G --librispeech-dir IN --metadata-dir IN --task sep_noisy", "add --out-dir"),
        ("--generate G --out-dir OUT --librispeech-dir IN --metadata-dir IN --task enh_both", "add --noise-dir"),
        ("--generate G --librispeech-dir IN --metadata-dir IN", "IN: no metadata here"),
    ],
)
def test_options_that_do_not_go_together(tmp_path, monkeypatch, options, message):
    write_set(tmp_path / "IN" / "cv", ("mix", "s1", "s2"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        main(options.split())
    assert not (tmp_path / "OUT").exists() and not (tmp_path / "G").exists()


def test_mindrecords_of_training_and_test_set(tmp_path):
    for name in ("tr", "tt"):
        write_set(tmp_path / "in" / name, ("mix", "s1", "s2"))
    elsewhere = tmp_path / "records" / "test.mindrecord"
    index(tmp_path / "in", tmp_path / "out", "--train_name", "train.mindrecord", "--test_name", elsewhere)
    for path in (tmp_path / "out" / "train.mindrecord", elsewhere):
        records = load_index(str(path), 8000)
        assert list(records.names) == sorted(os.path.splitext(name)[0] for name in NAMES)
        assert list(records.lengths) == [801] * 3 and records.sources == 2


def test_files_of_another_rate_are_said_to_cost_time_and_how_it_is_saved(tmp_path, capsys):
    for name, rate in (("tr", 44100), ("cv", 8000)):
        write_set(tmp_path / "in" / name, ("mix", "s1", "s2"), rate=rate)
    index(tmp_path / "in", tmp_path / "out")
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "resampled" in line]
    assert line.startswith(f"{tmp_path / 'in' / 'tr'}: files of 44100 Hz, resampled to 8000 Hz at every reading")
    assert "--train_name" in line


def test_a_mistake_is_one_line_and_status_2(tmp_path):
    command = [sys.executable, SCRIPT, "--in-dir", tmp_path / "no corpus", "--out-dir", tmp_path / "out"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2 and result.stdout == ""
    assert result.stderr.count("\n") == 1 and str(tmp_path / "no corpus") in result.stderr
