"""A user's mistake is one clear line and a non-zero exit, never a stack trace."""

import errno
import os
import sys
from collections.abc import Callable
from contextlib import suppress

from common.signals import ENDING, end_at_signals
from common.wording import UNPRINTABLE, printable

UNWRITABLE = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no reader, no room


class UserError(Exception):
    """Something only the user can put right: a bad file, value or combination.

    The message names the file or option, the value found, and the way out. It is one line, whatever names are in it:
    see `wording.printable`.
    """

    def __init__(self, message: str):
        super().__init__(printable(str(message)))


def first_line(error: BaseException) -> str:
    """What an exception says, in one line: its name if it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def run(main: Callable[[], None]) -> None:
    """Run a script's `main()`: a UserError is printed as one line, and the exit status is 2.

    The same for a standard output that is full, or whose reader has ended; where it or standard error was closed at the
    start, what is printed goes nowhere. Ctrl-C and kill end it as `signals` says. Whatever names are printed, see
    `wording.printable`.
    """
    end_at_signals()
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, open to the end
    sys.stdout.reconfigure(errors=UNPRINTABLE)
    error = None
    try:
        main()
    except UserError as raised:
        error = raised
    except OSError as raised:
        if raised.filename is not None or raised.errno not in (*UNWRITABLE, errno.ENOENT):
            raise  # the other files of a script have UserErrors of their own
        if raised.errno == errno.ENOENT:  # of os.getcwd alone
            error = UserError("the working directory was removed; go to one that is there")
        else:
            error = unwritable_output(raised)
    except MemoryError as raised:
        error = UserError(
            f"out of memory ({first_line(raised)}); free some, or take smaller batches; if an index has wrong lengths,"
            " run preprocess.py again"
        )
    except RuntimeError as raised:
        if "kernel_build" not in str(raised):  # the source files that MindSpore names in it
            raise
        error = UserError(
            f"MindSpore's compiler of kernels failed ({first_line(raised)}) for the reasons above;"
            " MS_DEV_GRAPH_KERNEL_FLAGS=--opt_level=0 in the environment goes without it"
        )
    try:
        sys.stdout.flush()  # Python itself does it later, and prints a trace if it cannot
    except OSError as raised:
        error = unwritable_output(raised)
    if error:
        with ENDING, suppress(OSError):  # the reader of standard error may have ended too
            print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def unwritable_output(error: OSError) -> UserError:
    """The UserError for a standard output that cannot be written, which is turned aside."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())  # where Python puts the rest as it ends
    return UserError(
        f"standard output: cannot be written ({error.strerror}); is there room, and does what reads it still run?"
    )
