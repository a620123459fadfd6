"""training/events.py: the events are there at once, and a full disk is one line, wherever the writer meets it."""

import os
import subprocess
import sys
import time

import pytest
from conftest import PATIENCE_SECONDS, ROOT

CODE = """
import sys
import tensorboardX.record_writer as record_writer
from common.errors import run
from training.events import Events

given = record_writer.open_file

def open_file(path):
    return open("/dev/full", "wb") if sys.argv[2] == "at the start" else given(path)

record_writer.open_file = open_file

def main():
    events = Events(sys.argv[1], 0)
    if sys.argv[2] != "never":
        events.writer._py_recordio_writer._writer = open("/dev/full", "wb")
    for step in range(5000 if sys.argv[2] == "in an epoch" else 3):
        events.add({"step/loss": 1.0}, step)
    events.flush()

run(main)
"""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full, a disk without room")
@pytest.mark.parametrize("when", ["at the start", "in an epoch", "at the end of an epoch", "never"])
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


def test_events_are_read_back(tmp_path, monkeypatch):
    """With the step from which a run that was killed is told anew, and without waiting for the end of an epoch."""
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event, SessionLog

    from training import events as module

    monkeypatch.setattr(module, "FLUSH_SECONDS", -1.0)
    writer = module.Events(str(tmp_path), 7)
    writer.add({"step/loss": -1.5, "step/lr": 0.25}, 8)
    (file,) = tmp_path.iterdir()
    content, events = file.read_bytes(), []
    while content:  # of each record its length, that number's check, the event and its check: TensorFlow's TFRecord
        length = int.from_bytes(content[:8], "little")
        events.append(Event.FromString(content[12 : 12 + length]))
        content = content[16 + length :]
    assert events[0].file_version == "brain.Event:2"
    assert (events[1].step, events[1].session_log.status) == (8, SessionLog.START)
    assert [(event.step, value.tag, value.simple_value) for event in events[2:] for value in event.summary.value] == [
        (8, "step/loss", -1.5),
        (8, "step/lr", 0.25),
    ]
    assert all(abs(event.wall_time - time.time()) < 60 for event in events)
