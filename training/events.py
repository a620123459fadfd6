"""TensorBoard's events of a run, whose writer works in a thread of its own."""

import sys
import threading

from common.errors import UserError


class Events:
    """Writes events of a run. What goes wrong in the writer's thread is raised here, at the next call.

    Args:
        folder: where the events go.
        step: steps that are done, so that later events of a run that was killed are left out.

    Its methods raise UserError if the events cannot be written, and so does this if the writer is not installed.
    """

    def __init__(self, folder: str, step: int):
        try:
            from tensorboardX import SummaryWriter  # only this option needs it
        except ImportError:
            raise UserError(
                "--tensorboard 1: needs tensorboardX; pip install -r requirements/extras.txt, or leave it out"
            ) from None
        self.folder, self.error, self.writer = folder, None, None
        others = threading.excepthook

        def remember(failure: threading.ExceptHookArgs) -> None:
            if isinstance(failure.exc_value, OSError) and type(failure.thread).__module__.startswith("tensorboardX"):
                self.error = failure.exc_value
            else:
                others(failure)

        threading.excepthook = remember
        unraisable = sys.unraisablehook

        def say_once(failure: "sys.UnraisableHookArgs") -> None:  # the writer tries again at the very end
            if self.error is None or not isinstance(failure.exc_value, OSError):
                unraisable(failure)

        sys.unraisablehook = say_once
        try:
            # Room for all events of a moment: where the thread has ended, one too many would wait for ever.
            self.writer = SummaryWriter(folder, purge_step=step + 1, max_queue=10000)
        except OSError as error:
            self.error = error
        self._require_no_error()

    def add(self, values: dict[str, float], step: int) -> None:
        """Add numbers under their names, of a step or an epoch."""
        self._require_no_error()
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def flush(self) -> None:
        """Write what was added."""
        try:
            self.writer.flush()
        except OSError as error:
            self.error = error
        self._require_no_error()

    def _require_no_error(self) -> None:
        if self.error is not None:
            raise UserError(
                f"{self.folder}: cannot be written ({self.error.strerror}); make room and go on, or leave"
                " --tensorboard out"
            )
