"""A user's mistake is one clear line and a non-zero exit, never a stack trace."""

import sys
from collections.abc import Callable


class UserError(Exception):
    """Something only the user can put right: a bad file, value or combination.

    The message names the file or option, the value found, and the way out.
    """


def first_line(error: BaseException) -> str:
    """What an exception says, in one line: its name if it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def run(main: Callable[[], None]) -> None:
    """Run a script's `main()`: a UserError is printed as one line (exit status 2), Ctrl-C ends quietly (130)."""
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
