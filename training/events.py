"""TensorBoard's events of a run, written where they arise.

tensorboardX's SummaryWriter hands them to a thread of its own. Once that has met a full disk, nobody empties its queue,
and Python waits for ever for the queue as it ends.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from common.errors import UserError

FLUSH_SECONDS = 10.0  # what TensorBoard shows is at most so old


class Events:
    """Writes events of a run.

    Args:
        folder: where the events go.
        step: steps that are done, so that later events of a run that was killed are left out.

    Its methods raise UserError if the events cannot be written, and so does this if the writer is not installed.
    """

    def __init__(self, folder: str, step: int):
        try:
            from tensorboardX import event_file_writer, summary  # only this option needs it
            from tensorboardX.proto.event_pb2 import Event, SessionLog
        except ImportError:
            raise UserError(
                "--tensorboard 1: needs tensorboardX; pip install -r requirements/extras.txt, or leave it out"
            ) from None
        self.folder, self.event, self.scalar, self.flushed = folder, Event, summary.scalar, time.monotonic()
        with self._writing():
            os.makedirs(folder, exist_ok=True)
            self.writer = event_file_writer.EventsWriter(os.path.join(folder, "events"))
        self._write(step + 1, session_log=SessionLog(status=SessionLog.START))  # TensorBoard drops what is not before
        self.flush()

    def add(self, values: dict[str, float], step: int) -> None:
        """Add numbers under their names, of a step or an epoch."""
        for name, value in values.items():
            self._write(step, summary=self.scalar(name, value))
        if time.monotonic() > self.flushed + FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what was added."""
        with self._writing():
            self.writer.flush()
        self.flushed = time.monotonic()

    def _write(self, step: int, **content: object) -> None:
        with self._writing():
            self.writer.write_event(self.event(wall_time=time.time(), step=step, **content))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(
                f"{self.folder}: cannot be written ({error.strerror}); make room and go on, or leave --tensorboard out"
            ) from None
