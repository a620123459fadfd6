"""training/events.py: a full disk is one line, wherever TensorBoard's writer meets it."""

import os
import subprocess
import sys

import pytest
from conftest import PATIENCE_SECONDS, ROOT

CODE = """
import sys, time
import tensorboardX.record_writer as record_writer
from common.errors import run
from training.events import Events

if sys.argv[2] != "never":
    record_writer.open_file = lambda path: open("/dev/full", "wb")

def main():
    events = Events(sys.argv[1], 0)
    for step in range(2000 if sys.argv[2] == "in its thread" else 3):
        events.add({"step/loss": 1.0}, step)
    if sys.argv[2] == "in its thread":
        time.sleep(1)
        events.add({"step/loss": 1.0}, 2000)
    else:
        events.flush()

run(main)
"""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full, a disk without room")
@pytest.mark.parametrize("when", ["in its thread", "at the end of an epoch", "never"])
def test_a_full_disk_is_one_line(tmp_path, when):
    pytest.importorskip("tensorboardX")
    found = subprocess.run(
        [sys.executable, "-c", CODE, tmp_path / "events", when],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    if when == "never":
        assert (found.returncode, found.stdout + found.stderr) == (0, "")
    else:
        expected = f"error: {tmp_path / 'events'}: cannot be written (No space left on device); make room and go on"
        assert (found.returncode, len(found.stderr.splitlines())) == (2, 1)
        assert found.stderr.startswith(expected)
