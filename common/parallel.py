"""Work for all cores in other processes, while this one makes more of it, and for many files at once in threads."""

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from multiprocessing import resource_tracker
from typing import Any, TypeVar

import loky
import loky.backend.resource_tracker
from tqdm import tqdm

from common.errors import UserError
from common.signals import end, end_worker_at_signals, hold_signals
from common.wording import printable

MOST_PROCESSES = 16  # one process that makes the work hardly keeps more of them busy
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

Item, Result = TypeVar("Item"), TypeVar("Result")


def map_in_processes(
    function: Callable[..., Result],
    items: Iterable[tuple[Any, ...]],
    most: int = MOST_PROCESSES,
    where_it_dies: Callable[..., Result] | None = None,
) -> Iterator[Result]:
    """`function(*item)` of each item, in order, in as many processes as there are cores, but at most `most`.

    The items are made here, as they are needed: no more than two for each process wait or are worked on. `function` is
    that of a module, which the processes import; they do not import the script that was started, unlike those of the
    standard library.

    When a process dies, the items that were lost with it are worked on again, one at a time. An item that ends its
    process then, too, has `where_it_dies(*item)` for a result, which is called here.

    Yields the results. What `function` raises is raised here; without `where_it_dies`, UserError if a process dies.
    However it ends but well, the processes are killed; when it ends well they wait some seconds for more work.
    """
    processes = min(loky.cpu_count(), most)
    _start_trackers()
    waiting: deque[tuple[tuple[Any, ...], Future]] = deque()

    def pool() -> Executor:
        """The processes, others in place of dead ones."""
        return loky.get_reusable_executor(processes, initializer=_start, initargs=(os.getpid(),), env=ONE_THREAD)

    def submit(item: tuple[Any, ...]) -> Future:
        try:
            return pool().submit(function, *item)
        except loky.BrokenProcessPool:  # just now; what waits learns it from its futures
            return pool().submit(function, *item)

    def next_result() -> Result:
        item, future = waiting.popleft()
        if not _is_lost(future):
            return future.result()
        if where_it_dies is None:
            raise UserError("a process was killed, out of memory perhaps; free some and start again")
        wait([later for _, later in waiting])  # so that the item is alone
        again = submit(item)
        return where_it_dies(*item) if _is_lost(again) else again.result()

    try:
        for item in items:
            waiting.append((item, submit(item)))
            while waiting and (waiting[0][1].done() or len(waiting) >= 2 * processes):
                yield next_result()
        while waiting:
            yield next_result()
    except BaseException:
        pool().shutdown(kill_workers=True)
        raise


def _start_trackers() -> None:
    """Start what removes loky's semaphores once this process has ended, without a word where a signal ended it."""
    sys.warnoptions.append("ignore:resource_tracker")
    loky.backend.resource_tracker.ensure_running()
    resource_tracker.ensure_running()
    sys.warnoptions.pop()
    hold_signals()  # which the latter has let through


def _is_lost(future: Future) -> bool:
    """Whether its process, or another of the same pool, died before it was done; waits until that is known."""
    return isinstance(future.exception(), loky.BrokenProcessPool)


def map_in_threads(function: Callable[[Item], Result], items: Sequence[Item], label: str) -> list[Result]:
    """`[function(item) for item in items]` for functions that wait for files, in threads, with a progress bar."""
    with ThreadPoolExecutor(max_workers=16) as executor:
        return list(tqdm(executor.map(function, items), printable(label), total=len(items), unit="file", disable=None))


def map_ahead(function: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterator[Result]:
    """`function(item)` of each item, in order, a few of them ahead of what is asked for, in so many threads."""
    waiting: deque[Future] = deque()
    with ThreadPoolExecutor(threads) as executor:
        for item in items:
            waiting.append(executor.submit(function, item))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _start(parent: int) -> None:
    """In a new process: end at a signal, and when the parent is gone, however it was ended."""
    end_worker_at_signals()

    def end_with_parent() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        end(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
