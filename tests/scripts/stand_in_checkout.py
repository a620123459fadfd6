"""A stand-in checkout for the tests of scripts/*.sh: its interpreter only notes its command lines."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

INTERPRETER = r"""#!/usr/bin/env bash
# Does what scripts expect of Python, as far as they can see. A command line with the words $FAIL fails, with $STATUS.
printf '%s\n' "$*" >>"$CALLS"
if [[ -n "${FAIL:-}" && "$*" == *"$FAIL"* ]]; then
    echo "failed at $FAIL" >&2
    exit "${STATUS:-3}"
fi
case "$*" in
    "-m venv "*)
        mkdir -p "$3/bin"
        cp "$0" "$3/bin/python"
        ;;
    "preprocess.py "*)
        folder=$(sed 's/.*--generate \([^ ]*\).*/\1/' <<<"$*")/Libri2Mix/wav8k/min/test/mix_clean
        mkdir -p "$folder"
        touch "$folder/a.wav" "$folder/b.wav" "$folder/c.wav"
        ;;
    "separate.py "*)
        folder=$(sed 's/.*--out_dir \([^ ]*\).*/\1/' <<<"$*")
        mkdir -p "$folder"
        touch "$folder/a_s1.wav" "$folder/b_s1.wav"
        ;;
    "evaluate.py "*) printf '%s\n' "utterances: 3" "Average SISNR improvement: 7.50" ;;
    *"/rank_table.py "*) exec "$REAL_PYTHON" "$@" ;;
    "-u "*) echo "output of $*${RANK_ID:+, rank $RANK_ID of $RANK_SIZE on device $DEVICE_ID}" ;;
esac
"""


class Checkout:
    """A copy of the scripts, a stand-in Python at `python`, and a folder of the user's to run them in."""

    def __init__(self, folder):
        self.root, self.user = folder / "a checkout", folder / "user's folder"
        self.user.mkdir()
        shutil.copytree(ROOT / "scripts", self.root / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(ROOT / "common", self.root / "common", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(ROOT / "requirements", self.root / "requirements")
        shutil.copytree(ROOT / ".ci", self.root / ".ci")
        shutil.copy(ROOT / "requirements.txt", self.root)
        self.python = folder / "python of ours"
        self.python.write_text(INTERPRETER)
        self.python.chmod(0o755)
        self.calls_file = folder / "calls"

    def run(self, script, *arguments, **environment):
        """Run a script in the user's folder; returns exit status, standard output and standard error."""
        self.calls_file.write_text("")
        environment = {
            "PYTHON": str(self.python),
            "CALLS": str(self.calls_file),
            "REAL_PYTHON": sys.executable,
            "PATH": os.environ["PATH"],
        } | environment
        command = ["bash", self.root / "scripts" / script, *arguments]
        return subprocess.run(command, cwd=self.user, env=environment, capture_output=True, text=True)

    def calls(self):
        """The interpreter's command lines during the last run."""
        return self.calls_file.read_text().splitlines()

    def installs(self):
        """The command lines of pip among them."""
        return [call for call in self.calls() if call.startswith("-m pip install")]

    def log(self, name):
        """The text of a log of the user's, once the script in the background has written it."""
        for _ in range(100):
            text = (self.user / name).read_text()
            if text:
                return text
            time.sleep(0.05)
        raise AssertionError(f"{name} stayed empty")


@pytest.fixture
def checkout(tmp_path):
    """A stand-in checkout of this test's."""
    return Checkout(tmp_path)
