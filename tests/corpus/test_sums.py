"""corpus/sums.py: files under each other's names are found, and what is rounded or clips is none of them."""

import re

import numpy as np
import pytest
import soundfile

import preprocess
from common.audio import write_wav
from common.errors import UserError
from corpus.loading import load_index
from corpus.sums import SAMPLE

RATE = 8000


def write_tree(folder, mixtures, level=0.3, write=write_wav):
    """A LibriMix set of 16 bits with noise."""
    random = np.random.default_rng(0)
    names = ("s1", "s2", "noise", "mix_clean", "mix_single", "mix_both")
    for name in names:
        (folder / "dev" / name).mkdir(parents=True)
    for number in range(mixtures):
        one, other, noise = random.uniform(-level, level, (3, 400))
        signals = (one, other, noise, one + other, one + noise, one + other + noise)
        for name, signal in zip(names, signals, strict=True):
            write(folder / "dev" / name / f"m{number:03d}.wav", signal, RATE)
    return folder / "dev"


def exchange(folder, one, other):
    """Give two files each other's names."""
    first, second = (folder / f"m{number:03d}.wav" for number in (one, other))
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)


def prepare(folder, *options):
    preprocess.main(["--in-dir", str(folder), "--out-dir", str(folder.parent / "out"), *options])
    return load_index(folder.parent / "out" / "cv", RATE)


TASKS = {"sep_clean": "s2", "sep_noisy": "noise", "enh_single": "s1", "enh_both": "mix_clean"}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("check", ["sample", "all"])
def test_exchanged_files(tmp_path, task, check):
    folder = write_tree(tmp_path, 3)
    assert len(prepare(folder, "--task", task, "--check", check)) == 3
    exchange(folder / TASKS[task], 0, 2)
    with pytest.raises(UserError, match=r"m000.wav: is not the sum .* the difference is at -?\d\.\d dB of it") as error:
        prepare(folder, "--task", task, "--check", check)
    assert TASKS[task] in str(error.value) and "\n" not in str(error.value)
    assert len(prepare(folder, "--task", task, "--check", "none")) == 3


def test_how_far_it_is_off_in_db(tmp_path):
    folder = write_tree(tmp_path, 1)
    samples = soundfile.read(folder / "mix_clean" / "m000.wav")[0]
    write_wav(folder / "mix_clean" / "m000.wav", 1.01 * samples, RATE)
    with pytest.raises(UserError, match=r"m000.wav: is not the sum of the files of its name in s1, s2") as error:
        prepare(folder)
    found = float(re.search(r"at (-?[\d.]+) dB", str(error.value))[1])
    assert found == pytest.approx(20 * np.log10(0.01 / 1.01), abs=0.1)


@pytest.mark.parametrize("task", TASKS)
def test_clipping_and_rounding_down_are_none(tmp_path, task):
    def write(path, signal, rate):
        soundfile.write(path, np.clip(np.floor(signal * 2**15), -(2**15), 2**15 - 1).astype(np.int16), rate)

    assert len(prepare(write_tree(tmp_path, 5, level=1.3, write=write), "--task", task, "--check", "all")) == 5


def test_bad_files_policy_and_the_sample(tmp_path):
    folder = write_tree(tmp_path, 2 * SAMPLE)
    exchange(folder / "s1", 0, 1)
    index = prepare(folder, "--check", "all", "--on_bad_file", "skip")
    assert len(index) == 2 * SAMPLE - 2 and not {"m000", "m001"} & set(index.names)
    assert len((tmp_path / "out" / "bad_files.txt").read_text().splitlines()) == 2
    for number in range(2, 20, 2):
        exchange(folder / "s1", number, number + 1)
    with pytest.raises(UserError, match=r"of 200 mixtures that were read are bad, more than 1%; the first: .*m0"):
        prepare(folder, "--on_bad_file", "skip")


def test_a_tree_without_its_noise_is_indexed_with_a_word(tmp_path, capsys):
    folder = write_tree(tmp_path, 2)
    for path in (folder / "noise").iterdir():
        path.unlink()
    (folder / "noise").rmdir()
    assert len(prepare(folder, "--task", "sep_noisy")) == 2
    assert "2 mixtures have no file in a folder noise, so their sums are not checked" in capsys.readouterr().out
