"""What becomes of files that cannot be used: the first stops the work, or all are left out, counted and listed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from common.errors import UserError
from common.files import make_folder, whole_text, writing

MOST_BAD = 0.01  # of the mixtures; more of them, and something else is wrong


class BadFiles:
    """The bad files of a preparation or a training run.

    Args:
        policy: "error" or "skip", as --on_bad_file says.
        path: file that those which are skipped are listed in.

    Attributes: `path`; `skipped`, how many mixtures were left out so far; `reasons`, why, each once.
    """

    def __init__(self, policy: str = "error", path: str | None = None):
        self.policy, self.path = policy, path
        self.skipped = 0
        self.reasons = {}  # as keys, which are in order

    @contextmanager
    def part(self, total: int = 0) -> Iterator["Part"]:
        """A part of the work, such as an epoch, which is held to the limit by itself, and lists its files at its end.

        Gives the `Part` that mixtures are left out of. Raises UserError at its end if they are too many.
        """
        part = Part(self, total)
        try:
            yield part
            part.require_few()
        finally:
            self._write_list()

    def _write_list(self) -> None:
        """List the reasons, which name the files, a line each; nothing to list removes an earlier list."""
        if self.reasons:
            make_folder(os.path.dirname(self.path))
            with whole_text(self.path) as file:
                file.writelines(f"{reason}\n" for reason in self.reasons)
        elif self.policy == "skip" and os.path.exists(self.path):
            with writing(self.path):
                os.remove(self.path)


class Part:
    """What `BadFiles.part` gives. `total`: the mixtures it has, to which may be added as they are found."""

    def __init__(self, bad_files: BadFiles, total: int):
        self.total, self._bad_files, self._before = total, bad_files, bad_files.skipped

    def leave_out(self, error: UserError) -> None:
        """Leave a mixture out for this reason, or raise it where the first bad file is to stop the work."""
        bad_files = self._bad_files
        if bad_files.policy == "error":
            raise error
        bad_files.skipped += 1
        bad_files.reasons[str(error)] = None

    @contextmanager
    def leaving_out(self) -> Iterator[None]:
        """Leave out the mixture that is looked at in this block if a UserError is raised there."""
        try:
            yield
        except UserError as error:
            self.leave_out(error)

    def require_few(self) -> None:
        """Raise UserError if more than one percent of the mixtures were left out so far."""
        count = self._bad_files.skipped - self._before
        if count > MOST_BAD * self.total:
            raise UserError(
                f"{count} of {self.total} mixtures have a bad file, more than {MOST_BAD:.0%}; {self._bad_files.path}"
                " lists them"
            )
