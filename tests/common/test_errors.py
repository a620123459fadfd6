"""common/errors.py: what goes wrong is one line, also where what is printed cannot be written."""

import os
import subprocess
import sys

import pytest
from conftest import PATIENCE_SECONDS, ROOT

START = "import sys\nfrom common.errors import UserError, run\n"


def run_script(body, **streams):
    command = [sys.executable, "-c", START + body]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(
        command, cwd=ROOT, env=buffered, stderr=subprocess.PIPE, text=True, timeout=PATIENCE_SECONDS, **streams
    )


def test_a_users_mistake_is_one_line():
    done = run_script("def main(): raise UserError('--x 1: is wrong')\nrun(main)")
    assert (done.returncode, done.stderr) == (2, "error: --x 1: is wrong\n")


@pytest.mark.parametrize("lines", [1, 100_000], ids=["at the end", "on the way"])
def test_a_reader_that_has_ended_is_one_line(lines):
    with subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.PIPE) as reader:
        reader.wait()
        done = run_script(f"def main(): print('what was done\\n' * {lines})\nrun(main)", stdout=reader.stdin)
        reader.stdin = None
    assert done.returncode == 2
    assert done.stderr.startswith("error: standard output: cannot be written (Broken pipe)")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("lines", [1, 100_000], ids=["at the end", "on the way"])
def test_a_full_disk_behind_standard_output_is_one_line(lines):
    with open("/dev/full", "w") as full:
        done = run_script(f"def main(): print('what was done\\n' * {lines})\nrun(main)", stdout=full)
    assert done.returncode == 2
    assert done.stderr.startswith("error: standard output: cannot be written (No space left on device)")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_no_standard_output_or_error_at_all(name):
    body = f"sys.{name} = None\ndef main(): print('what was done', file=sys.{name}, flush=True)\nrun(main)"
    assert run_script(body).returncode == 0


def test_a_working_directory_that_was_removed_is_one_line():
    body = "import os, tempfile\ngone = tempfile.mkdtemp()\nos.chdir(gone)\nos.rmdir(gone)\n"
    done = run_script(body + "run(lambda: os.path.realpath('any'))")
    assert (done.returncode, done.stderr) == (
        2,
        "error: the working directory was removed; go to one that is there\n",
    )


def test_another_file_that_cannot_be_opened_is_not_taken_for_it():
    done = run_script("def main(): raise OSError(28, 'No space left on device', 'other.txt')\nrun(main)")
    assert done.returncode == 1
    assert "standard output" not in done.stderr


@pytest.mark.parametrize("environment", [{"LC_ALL": "C.UTF-8"}, {"LC_ALL": "POSIX"}, {"PYTHONIOENCODING": "ascii"}])
@pytest.mark.parametrize("end", ["", "raise UserError(name)"], ids=["printed", "in an error"])
def test_a_name_that_is_not_utf8_is_printed(monkeypatch, environment, end):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    body = "import os\nname = os.fsdecode(b'caf\\xe9.wav')\ndef main():\n    print(name)\n    " + end + "\nrun(main)"
    done = run_script(body, stdout=subprocess.PIPE)
    assert done.stdout == "caf\\udce9.wav\n"
    assert (done.returncode, done.stderr) == ((2, "error: caf\\udce9.wav\n") if end else (0, ""))


def test_too_little_memory_is_one_line():
    done = run_script("import numpy as np\ndef main(): np.ones((2**23, 2**23))\nrun(main)")
    assert done.returncode == 2
    assert done.stderr.startswith("error: out of memory (Unable to allocate ") and done.stderr.count("\n") == 1
