"""A user's mistake is one clear line and a non-zero exit, never a stack trace."""

import sys
from collections.abc import Callable

from common.signals import ENDING, end_at_signals


class UserError(Exception):
    """Something only the user can put right: a bad file, value or combination.

    The message names the file or option, the value found, and the way out.
    """


def first_line(error: BaseException) -> str:
    """What an exception says, in one line: its name if it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def run(main: Callable[[], None]) -> None:
    """Run a script's `main()`: a UserError is printed as one line, and the exit status is 2.

    Ctrl-C and kill end it as `signals` says.
    """
    end_at_signals()
    try:
        main()
    except UserError as error:
        with ENDING:
            print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
