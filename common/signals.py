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
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

LINES = {
    signal.SIGINT: "interrupted",
    signal.SIGTERM: "ended by a signal (SIGTERM)",
    signal.SIGHUP: "ended by a signal (SIGHUP)",
}
ENDING = threading.Lock()  # whoever ends the process takes it and keeps it
_passing: list[str] = []
_held: set[int] = set()  # the signals that a thread waits for
_at_fork: list[object] = []  # what the C library calls; kept, since it knows nothing of references


@contextmanager
def passing(make: Callable[[], str]) -> Iterator[str]:
    """Make a file or folder, give its path, and remove it when the `with` block is left or the process is ended.

    It is made while nobody ends the process, so that none is made that would stay.
    """
    with ENDING:
        path = make()
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
    atexit.register(_let_through)  # when no thread of Python's runs any more
    _let_children_be_terminated()


def hold_signals() -> None:
    """Block the signals in this thread, for the one that waits for them, if there is one."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _held)


@contextmanager
def signals_let_through() -> Iterator[None]:
    """Meanwhile let signals end the process without a word, for code that keeps all threads of Python's waiting."""
    handlers = {number: signal.getsignal(number) for number in _held}
    _let_through()
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        hold_signals()


def end_worker_at_signals() -> None:
    """In a process of `parallel.map_in_processes`, leave Ctrl-C to its parent, and end at SIGTERM with nothing left."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=end, args=[128 + signal.SIGTERM]).start())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, LINES)


def end(status: int) -> None:
    """End the process, and those of `parallel.map_in_processes`, whatever they do; what is `passing` is removed."""
    import multiprocessing

    ENDING.acquire()
    try:
        workers = multiprocessing.active_children()
        for worker in workers:
            worker.terminate()
        for path in _passing:
            for _ in range(1000):  # another thread may still be making files in it
                remove(path)
                if not os.path.lexists(path):
                    break
        for worker in workers:
            worker.join(5)
            with suppress(ProcessLookupError):  # loky's thread may know of its end, which `is_alive` then does not
                if worker.is_alive():
                    os.kill(worker.pid, signal.SIGKILL)
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


def _let_children_be_terminated() -> None:
    """Let SIGTERM through in every process that is forked from now on, whoever forks it.

    MindSpore starts its kernel compiler in C++. That ends its own processes with SIGTERM after each kernel, and waits
    for ever for one that has inherited the blocking. Ctrl-C stays blocked there: it is this process's to answer.
    """
    import ctypes

    def change(how: int) -> Callable[[], None]:
        return ctypes.CFUNCTYPE(None)(lambda: signal.pthread_sigmask(how, _held & {signal.SIGTERM}) and None)

    with suppress(AttributeError):  # not glibc, for which there is no such kernel compiler
        # Before a fork; and after it, in the process that has forked.
        _at_fork[:] = change(signal.SIG_UNBLOCK), change(signal.SIG_BLOCK)
        ctypes.CDLL(None).__register_atfork(*_at_fork, None, None)


def _flush() -> None:
    with suppress(OSError, ValueError):
        print(end="", flush=True)


def _let_through() -> None:
    for number in _held:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _held)
