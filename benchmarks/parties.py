"""Processes that are timed in turn, whatever they compute, and how their times compare."""

import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import Any, TextIO

from tqdm import tqdm

from common.errors import UserError

SECONDS_TO_END = 10

Result = dict[str, Any]


class Party:
    """A process that runs and times a round when asked. It is ended when its `with` block is left, however.

    Its standard error goes to the file `errors`. Attributes: `name`; `ready`, what it printed once warm; `rounds`, the
    seconds of each; `peak_memory`, bytes, once ended.
    """

    def __init__(self, name: str, command: list[str], errors: TextIO):
        self.name, self.errors, self.rounds = name, errors, []
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()
        self.process.stdout.close()

    def warm_up(self) -> None:
        """Wait until it is warm."""
        self.ready = self.answer("ready")

    def time_round(self) -> None:
        """Have it run and time a round."""
        with suppress(BrokenPipeError):  # it has died, which shows in its answer
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        self.rounds.append(self.answer("seconds")["seconds"])

    def answer(self, key: str) -> dict[str, Any]:
        """The JSON object, with this key, that it prints next. Raises UserError if it ends or prints anything else."""
        line = self.process.stdout.readline()
        if not line:
            self.end()
            raise UserError(f"{self.name}: ended with status {self.process.returncode}: {self.last_error()}")
        with suppress(ValueError):
            answer = json.loads(line)
            if isinstance(answer, dict) and key in answer:
                return answer
        raise UserError(f"{self.name}: printed {line.strip()!r} where a JSON object with {key!r} was due")

    def last_error(self) -> str:
        """The last line of its standard error."""
        self.errors.seek(0)
        return last_line(self.errors.read())

    def end(self) -> None:
        """Close its standard input, at which it ends, and keep its peak memory; kill it if it goes on."""
        if self.process.returncode is not None:
            return
        with suppress(OSError):
            self.process.stdin.close()
        deadline = time.monotonic() + SECONDS_TO_END
        # wait4 reports the memory of this process; Popen's own wait, poll and kill would take its end away from it.
        while (ended := os.wait4(self.process.pid, os.WNOHANG))[0] == 0:
            if time.monotonic() > deadline:
                os.kill(self.process.pid, signal.SIGKILL)
            time.sleep(0.02)
        _, status, usage = ended
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.peak_memory = peak_memory(usage)

    def result(self, audio_seconds: float) -> Result:
        """Figures of its rounds, and what it printed once warm.

        A round is of so many seconds of audio, unless the party said otherwise.
        """
        figures = figures_of(self.rounds, self.ready.get("audio_seconds", audio_seconds), self.peak_memory)
        return figures | {fact: value for fact, value in self.ready.items() if fact != "ready"}


def figures_of(rounds: list[float], audio_seconds: float, peak_memory: int) -> Result:
    """Figures of rounds that took so many seconds, each of so many seconds of audio; `peak_memory` in bytes."""
    median = statistics.median(rounds)
    return {
        "median": median,
        "minimum": min(rounds),
        "real_time_factor": median / audio_seconds,
        "peak_memory_gb": peak_memory / 1e9,
        "rounds": rounds,
    }


def peak_memory(usage: resource.struct_rusage) -> int:
    """Bytes that a process held at most, of what os.wait4 says."""
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def last_line(errors: str) -> str:
    """The last line of a standard error that says anything."""
    lines = errors.split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it printed no error")


def time_in_turn(parties: Mapping[str, list[str]], rounds: int, label: str, audio_seconds: float) -> dict[str, Result]:
    """Start the parties ({name: command}), ask them in turn for so many rounds, and end them.

    `label` is what the progress bar says. Returns {name: what `Party.result` gives}. Raises UserError if one fails.
    """
    with ExitStack() as stack, tqdm(total=rounds, unit="round", disable=None, leave=False) as progress:
        running = []
        for name, command in parties.items():
            progress.set_description(f"{label}: warming up {name}")
            errors = stack.enter_context(tempfile.TemporaryFile("w+", errors="replace"))
            running.append(stack.enter_context(Party(name, command, errors)))
            running[-1].warm_up()
        progress.set_description(label)
        for _ in range(rounds):
            for party in running:
                party.time_round()
            progress.update()
        for party in running:
            party.end()
    return {party.name: party.result(audio_seconds) for party in running}


def compare(first: Result, second: Result) -> dict[str, float]:
    """The second party's times divided by the first's: of their medians, and pair by pair, round for round."""
    pairs = [b / a for a, b in zip(first["rounds"], second["rounds"], strict=True)]
    return {
        "of_medians": second["median"] / first["median"],
        "median": statistics.median(pairs),
        "lowest": min(pairs),
        "highest": max(pairs),
    }
