"""preprocess.py and files whose names are not UTF-8, such as those of an old disk in Latin-1."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from conftest import PATIENCE_SECONDS, ROOT

from common.errors import UserError
from corpus.loading import load_index
from preprocess import main


@pytest.fixture
def latin1(tmp_path):
    """A corpus in a folder with an é in Latin-1, whose 200 mixtures have one too; a source of one is no audio."""
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    for part in ("mix_clean", "s1", "s2"):
        place = os.path.join(folder, "corpus", "tt", part)
        os.makedirs(place)
        for number in range(200):
            with open(os.fsencode(place) + b"/voil\xe0 %d.wav" % number, "wb") as file:
                soundfile.write(file, np.full(80, 0.25 if part == "mix_clean" else 0.125), 8000, format="WAV")
    with open(os.fsencode(place) + b"/voil\xe0 7.wav", "wb") as file:
        file.write(b"no audio")
    return folder


@pytest.mark.parametrize("locale", ["C.UTF-8", "POSIX"])
def test_they_are_indexed_listed_and_read(tmp_path, latin1, locale):
    command = [sys.executable, ROOT / "preprocess.py", "--in-dir", os.path.join(latin1, "corpus")]
    command += ["--out-dir", os.path.join(latin1, "index")]
    environment = os.environ | {"LC_ALL": locale}
    run = {"env": environment, "capture_output": True, "text": True, "timeout": PATIENCE_SECONDS, "cwd": tmp_path}
    done = subprocess.run(command, **run)
    assert done.returncode == 2
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "caf\\udce9/corpus/tt/s2/voil\\udce0 7.wav: not an audio file" in error

    done = subprocess.run([*command, "--on_bad_file", "skip"], **run)
    assert done.returncode == 0, done.stderr
    assert "skipped: 1 mixtures, see " in done.stdout and "caf\\udce9/index/bad_files.txt" in done.stdout
    with open(os.path.join(latin1, "index", "bad_files.txt"), encoding="utf-8") as file:
        (line,) = file
    assert "caf\\udce9/corpus/tt/s2/voil\\udce0 7.wav: not an audio file" in line

    folder = os.path.join(latin1, "index", "tt")
    index = load_index(folder, 8000)
    assert len(index) == 199
    assert index.name(0) == os.fsdecode(b"voil\xe0 0")
    np.testing.assert_array_equal(index.read(198, 0, 80)[:, 0], [0.25, 0.125, 0.125])
    with open(os.path.join(folder, "mix.json"), encoding="ascii") as file:
        assert json.load(file)[0][0] == os.path.join(latin1, "corpus", "tt", "mix_clean", index.name(0) + ".wav")


def test_mindrecord_of_such_a_path_is_refused_before_the_work(latin1):
    options = ["--in-dir", os.path.join(latin1, "corpus"), "--out-dir", os.path.join(latin1, "index")]
    with pytest.raises(UserError, match=r"tt\.mindrecord: MindRecord takes only paths that are UTF-8"):
        main([*options, "--test_name", "tt.mindrecord"])
    assert not os.path.exists(os.path.join(latin1, "index"))
    with pytest.raises(UserError, match="MindRecord takes only paths that are UTF-8"):
        load_index(os.path.join(latin1, "tt.mindrecord"), 8000)


def test_names_of_two_lines_are_printed_and_listed_in_one(tmp_path, capsys):
    folder = tmp_path / "corpus\nof two" / "tt"
    names = [f"a\n{number}.wav" for number in range(100)]
    for part in ("mix_clean", "s1", "s2"):
        (folder / part).mkdir(parents=True)
        for name in names:
            soundfile.write(folder / part / name, np.full(80, 0.25 if part == "mix_clean" else 0.125), 16000)
    (folder / part / names[7]).write_bytes(b"no audio")
    options = ["--in-dir", str(folder), "--out-dir", str(tmp_path / "index\n"), "--on_bad_file", "skip"]
    main(options)
    printed = capsys.readouterr().out
    assert [line.split(":")[0].split(" in /")[0] for line in printed.splitlines()] == [
        "found tt", str(folder).replace("\n", r"\n"), "tt", "skipped",
    ]  # fmt: skip
    (line,) = (tmp_path / "index\n" / "bad_files.txt").read_text().splitlines()
    assert line.startswith(str(folder / "s2").replace("\n", r"\n") + r"/a\n7.wav: not an audio file")
    index = load_index(tmp_path / "index\n" / "tt", 8000)
    assert sorted(map(index.name, range(99))) == sorted(name[:-4] for name in names if name != names[7])
    with pytest.raises(UserError, match=r"corpus\\nof two/tt/s2/a\\n7\.wav: not an audio file"):
        main(options[:-2])
