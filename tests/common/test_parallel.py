"""common/parallel.py: results in order, few items ahead, and nobody left behind, however it ends."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import psutil
import pytest
from conftest import PATIENCE_SECONDS, ROOT, heed_signals

from common.errors import UserError
from common.parallel import map_ahead, map_in_processes

SCRIPT = """
import os, sys, time
sys.path.insert(0, {root!r})
print("imported", flush=True)
from common.signals import end_at_signals
if __name__ == "__main__":
    end_at_signals()
from common.errors import run
from common.parallel import map_in_processes

if __name__ == "__main__":
    run(lambda: [print("done", flush=True) for _ in map_in_processes(time.sleep, [(0.1,)] * 3 + [(60,)] * 20)])
"""


def delayed(number):
    time.sleep(0.2 if number == 0 else 0)
    return number, os.environ["OPENBLAS_NUM_THREADS"], "mindspore" in sys.modules, os.getpid()


def failing(number):
    if number == 2:
        raise UserError("the second")


def dying(number):
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)


def deadly_for(number, deadly):
    if number in deadly:
        os.kill(os.getpid(), signal.SIGSEGV)
    return number


def test_results_are_in_order_and_from_processes_of_one_thread():
    results = list(map_in_processes(delayed, ((number,) for number in range(20))))
    assert [result[:3] for result in results] == [(number, "1", False) for number in range(20)]
    assert os.getpid() not in {result[3] for result in results}


def test_no_more_processes_than_there_may_be():
    assert len({process for *_, process in map_in_processes(delayed, ((number,) for number in range(6)), most=1)}) == 1


def test_no_more_is_made_than_is_worked_on():
    made = []

    def items():
        for number in range(200):
            made.append(number)
            yield (0.01,)

    for done, _ in enumerate(map_in_processes(time.sleep, items())):
        assert len(made) - done <= 2 * min(os.cpu_count(), 16)


def test_error_of_the_function_and_of_the_items_come_out():
    with pytest.raises(UserError, match="the second"):
        list(map_in_processes(failing, ((number,) for number in range(5))))
    with pytest.raises(ZeroDivisionError):
        list(map_in_processes(failing, ((1 // number,) for number in (5, 0))))


def test_process_that_dies_is_one_line():
    with pytest.raises(UserError, match="a process was killed"):
        list(map_in_processes(dying, ((number,) for number in range(5))))
    assert [result[0] for result in map_in_processes(delayed, [(1,), (2,)])] == [1, 2]  # others take their place


def test_item_that_ends_its_process_costs_itself_alone():
    for deadly in ((2,), (0, 3, 4), range(9)):
        results = list(
            map_in_processes(
                deadly_for, ((number, tuple(deadly)) for number in range(9)), where_it_dies=lambda number, _: -number
            )
        )
        assert results == [-number if number in deadly else number for number in range(9)]


@pytest.fixture
def script(tmp_path):
    """A script at work, and the processes that it has started."""
    path = tmp_path / "script.py"
    path.write_text(SCRIPT.format(root=str(ROOT)))
    process = subprocess.Popen(
        [sys.executable, path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heed_signals,
    )
    assert [process.stdout.readline() for _ in range(4)] == ["imported\n", *["done\n"] * 3]
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 2
    yield process, children
    process.kill()
    process.communicate()
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.kill()


def test_interrupt_is_one_line_and_leaves_nobody(script):
    process, children = script
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, out, err) == (130, "", "interrupted\n")  # and the processes did not import the script
    assert psutil.wait_procs(children, timeout=PATIENCE_SECONDS)[1] == []


def test_processes_end_with_their_parent(script):
    process, children = script
    process.kill()
    assert psutil.wait_procs(children, timeout=PATIENCE_SECONDS)[1] == []


def test_work_ahead_comes_in_order_and_no_further_than_asked():
    begun = []
    results = map_ahead(lambda number: begun.append(number) or -number, range(100), threads=2)
    assert [next(results) for _ in range(3)] == [0, -1, -2]
    assert len(begun) <= 3 + 2 * 2
    assert list(results) == [-number for number in range(3, 100)]


def test_what_fails_ahead_is_raised_where_it_is_due():
    results = map_ahead(lambda number: 1 // number, [1, 0, 1], threads=2)
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
