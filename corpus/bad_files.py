"""What becomes of files that cannot be used: the first stops the work, or all are left out, counted and listed."""

import os

from common.errors import UserError
from common.files import make_folder, whole_file

MOST_BAD = 0.01  # of the mixtures; more of them, and something else is wrong


class BadFiles:
    """The bad files of a preparation or a training run.

    Args:
        policy: of --on_bad_file, "error" or "skip".
        path: file that the skipped ones are listed in.

    Attributes: `total`, how many mixtures were looked at since `start`, which its user counts; `skipped`, how many
    were skipped in all.
    """

    def __init__(self, policy="error", path=None):
        self.policy, self.path = policy, path
        self.skipped, self._reasons = 0, []
        self.start()

    def start(self, total=0):
        """Begin with the next part, such as an epoch, which is held to the limit by itself."""
        self.total, self._before = total, self.skipped

    def skip(self, error):
        """Leave a mixture out for this UserError, or raise it where the first bad file is to stop the work."""
        if self.policy == "error":
            raise error
        self.skipped += 1
        self._reasons.append(str(error))

    def check(self):
        """Raise UserError if more than one percent of the mixtures of this part were skipped."""
        count = self.skipped - self._before
        if count > MOST_BAD * self.total:
            self.write_list()
            raise UserError(
                f"{count} of {self.total} mixtures have a bad file, more than {MOST_BAD:.0%}; {self.path} lists them"
            )

    def write_list(self):
        """List the reasons, which name the files, a line each; nothing to list removes an earlier list.

        Returns how many lines there are.
        """
        if self.policy == "error":
            return 0
        reasons = dict.fromkeys(self._reasons)  # each once, in order
        if reasons:
            make_folder(os.path.dirname(self.path))
            with whole_file(self.path) as partial, open(partial, "w", encoding="utf-8") as file:
                file.writelines(f"{reason}\n" for reason in reasons)
        elif os.path.exists(self.path):
            os.remove(self.path)
        return len(reasons)
