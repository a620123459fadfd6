"""benchmarks/parties.py: whose turn it is, what each is charged with, and that no process is left behind."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import parties
from common.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
PEER = str(Path(__file__).parent / "peer.py")
GOOD = [sys.executable, PEER]  # the command of a peer that does its work


def python(code):
    """The command that runs this code."""
    return [sys.executable, "-c", code]


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def log(tmp_path, monkeypatch):
    path = tmp_path / "log"
    monkeypatch.setenv("LOG", str(path))
    return path


@pytest.fixture
def started(monkeypatch):
    """The process numbers of all parties that a test starts."""
    numbers, popen = [], subprocess.Popen

    def start(*arguments, **options):
        process = popen(*arguments, **options)
        numbers.append(process.pid)
        return process

    monkeypatch.setattr(subprocess, "Popen", start)
    return numbers


def test_parties_take_turns(log, started):
    commands = {name: ["env", f"NAME={name}", *GOOD] for name in ("A", "B")}
    results = parties.time_in_turn(commands, 3, "", 2.0)
    events = [line.split()[:2] for line in log.read_text().splitlines()]
    assert [name for name, event in events if event.isdecimal() and int(event) < 3] == list("ABABAB")
    assert events[-2:] == [["A", "ends"], ["B", "ends"]]
    assert results["A"]["rounds"] == results["B"]["rounds"] == [0.5, 1.5, 2.5]
    assert len(started) == 2 and not any(map(is_running, started))


def test_peak_memory_is_each_partys_own():
    large = python(f"memory = b'1' * 300_000_000\nexec(open({PEER!r}).read())")
    code = (
        "import json\nfrom benchmarks import parties\n"
        f"results = parties.time_in_turn({ {'small': GOOD, 'large': large}!r}, 1, '', 1.0)\n"
        "print(json.dumps({name: result['peak_memory_gb'] for name, result in results.items()}))"
    )
    # A process of its own: the system counts what the starting one held as the started one's too.
    environment = os.environ | {"LOG": os.devnull}
    answer = subprocess.run(python(code), capture_output=True, text=True, env=environment, cwd=ROOT, check=True)
    peaks = json.loads(answer.stdout)
    assert peaks["small"] < 0.1
    assert 0.3 < peaks["large"] < 0.4


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import sys; sys.exit('first\\nno torch here\\n')", "bad: ended with status 1: no torch here"),
        ("import os; os._exit(3)", "bad: ended with status 3: it printed no error"),
        ("print('{\"ready\": true}', flush=True); input(); 1 / 0", "status 1: ZeroDivisionError: division by zero"),
        ("print('hello', flush=True); input()", "bad: printed 'hello' where a JSON object with 'ready' was due"),
        ("print('[\"ready\"]', flush=True); input()", "where a JSON object with 'ready' was due"),
    ],
)
def test_a_party_that_fails_is_one_line_and_ends_the_others(code, message, log, started):
    with pytest.raises(UserError) as error:
        parties.time_in_turn({"good": GOOD, "bad": python(code)}, 2, "", 1.0)
    assert message in str(error.value) and "\n" not in str(error.value)
    assert log.read_text().splitlines()[-1] == "peer ends"
    assert len(started) == 2 and not any(map(is_running, started))


def test_a_party_that_goes_on_is_killed(monkeypatch, started):
    monkeypatch.setattr(parties, "SECONDS_TO_END", 0.3)
    stubborn = "import time; print('{\"ready\": true}', flush=True); input(); print('{\"seconds\": 1}', flush=True)"
    began = time.monotonic()
    result = parties.time_in_turn({"stubborn": python(f"{stubborn}; time.sleep(100)")}, 1, "", 1.0)
    assert result["stubborn"]["rounds"] == [1] and time.monotonic() - began < 60
    assert not is_running(started[0])


def test_an_interruption_ends_all(monkeypatch, log, started):
    def interrupt(party):
        raise KeyboardInterrupt

    monkeypatch.setattr(parties.Party, "time_round", interrupt)
    with pytest.raises(KeyboardInterrupt):
        parties.time_in_turn({"A": GOOD, "B": GOOD}, 2, "", 1.0)
    assert len(started) == 2 and not any(map(is_running, started))


def test_ratios():
    first = {"rounds": [1.0, 2.0, 4.0], "median": 2.0}
    second = {"rounds": [3.0, 2.0, 2.0], "median": 2.0}
    assert parties.compare(first, second) == {
        "of_medians": 1.0,
        "median": 1.0,
        "lowest": 0.5,
        "highest": 3.0,
    }
