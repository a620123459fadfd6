"""What ends a script from outside, Ctrl-C or kill, ends it at once: in one line, with its status, and nothing left.

MindSpore handles these signals itself once it has run a graph or read a dataset: Ctrl-C as kill, kill as success. An
exception in the middle of its code ends the process in a stack trace. So the signals are blocked in every thread, and
one thread waits for them. Where a library lets them through nevertheless there are handlers, too.
"""

import atexit
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

LINES = {
    signal.SIGINT: "interrupted",
    signal.SIGTERM: "ended by a signal (SIGTERM)",
    signal.SIGHUP: "ended by a signal (SIGHUP)",
}
ENDING = threading.Lock()  # whoever ends the process takes it and keeps it
_passing: list[str] = []
_held: set[int] = set()  # the signals that a thread waits for


@contextmanager
def passing(path: str) -> Iterator[str]:
    """Give a path of a file or folder, which is removed when the `with` block is left or the process is ended."""
    with ENDING:
        _passing.append(path)
    try:
        yield path
    finally:
        with ENDING:
            _passing.remove(path)
            remove(path)


def remove(path: str) -> None:
    """Remove a file, a link or a folder with all that is in it, as far as it is there and may be removed."""
    import shutil  # as below: nothing is imported in vain before the signals are blocked

    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            os.remove(path)


def end_at_signals() -> None:
    """From now on end the process at Ctrl-C (status 130), SIGTERM (143) and SIGHUP (129), unless they are ignored.

    A script calls it before it imports what takes seconds; threads block the signals only if they begin later.
    """
    if _held:
        return
    _held.update(number for number in LINES if signal.getsignal(number) is not signal.SIG_IGN)  # as under nohup
    hold_signals()
    for number in _held:
        signal.signal(number, lambda number, _: threading.Thread(target=_end_at, args=[number]).start())
    threading.Thread(target=lambda: _end_at(signal.sigwait(_held)), daemon=True).start()
    atexit.register(_let_through)


def hold_signals() -> None:
    """Block the signals in this thread, for the one that waits for them, if there is one."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _held)


def end_worker_at_signals() -> None:
    """In a process of `parallel.map_in_processes`, leave Ctrl-C to its parent, and end at SIGTERM with nothing left."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=end, args=[128 + signal.SIGTERM]).start())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, LINES)


def end(status: int) -> None:
    """End the process, and those of `parallel.map_in_processes`, whatever they do; what is `passing` is removed."""
    import multiprocessing.util

    ENDING.acquire()
    try:
        workers = multiprocessing.active_children()
        for worker in workers:
            worker.terminate()
        for path in _passing:
            remove(path)
        for worker in workers:
            worker.join(2)
            if worker.is_alive():
                os.kill(worker.pid, signal.SIGKILL)
        multiprocessing.util._run_finalizers(0)  # loky's semaphores, which are reported as leaked otherwise
    finally:
        os._exit(status)


def _end_at(number: int) -> None:
    """End the process in a line for this signal; in a thread of its own, since the main one may hold ENDING."""
    with suppress(OSError, ValueError, AttributeError):  # nobody reads it, or there is no standard error
        below_a_bar = "\n" if sys.__stderr__.isatty() else ""
        os.write(sys.__stderr__.fileno(), f"{below_a_bar}{LINES[number]}\n".encode())
    flush = threading.Thread(target=_flush, daemon=True)
    flush.start()
    flush.join(1)  # no longer: nobody may be reading
    end(128 + number)


def _flush() -> None:
    with suppress(OSError, ValueError):
        print(end="", flush=True)


def _let_through() -> None:
    """Let signals end a process that is at its end, when no thread of Python's runs any more."""
    for number in _held:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _held)
