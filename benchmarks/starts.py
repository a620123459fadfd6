"""Scripts as a person waits for them: whole processes from their start to their result, in turn with a peer's."""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import soundfile
from tqdm import tqdm

from benchmarks.parties import compare, figures_of, last_line, peak_memory
from common.errors import UserError
from common.files import temporary_folder
from config import DEVICE, NETWORK, TRAINING_DATA
from corpus.file_index import MixtureFiles, write_index

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SAMPLE_RATE = 8000  # of the weights that come with the project
SECONDS_BETWEEN_LOOKS = 0.005


@dataclass(frozen=True)
class Start:
    """A command that is started anew for each round.

    Attributes:
        command: its parts, where {folder} stands for an empty folder, another one for each round.
        until: the file that is waited for; None: the end of the process.
        without_kernels: whether MindSpore finds none of the kernels that earlier starts have compiled.
    """

    command: Sequence[str]
    until: str | None = None
    without_kernels: bool = False


@dataclass(frozen=True)
class Wait:
    """What a person waits for: its name in the table, the seconds of audio in it, and who is timed in turn."""

    name: str
    seconds: float
    parties: dict[str, Start]


def time_starts(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Time the scripts that `args.scripts` names.

    Args:
        args: options of the groups "benchmark", "data", "network" and "device" of config.py.

    Returns for each a dict of the `name` and `seconds` of its Wait; `parties`, the figures of each one's rounds; and
    `ratio`, how two of them compare, or None. Raises UserError if a process fails.
    """
    rows = []
    with temporary_folder() as folder:
        waits = [wait for script in args.scripts for wait in WAITS[script](args, os.path.join(folder, script))]
        for wait in waits:
            rounds = {name: [] for name in wait.parties}
            for _ in tqdm(range(args.warmup + args.rounds), wait.name, unit="round", disable=None, leave=False):
                for name, start in wait.parties.items():
                    rounds[name].append(time_start(name, start))
            parties = {}
            for name, timed in rounds.items():
                times, memory = zip(*timed, strict=True)
                parties[name] = figures_of(list(times[args.warmup :]), wait.seconds, max(memory))
            ratio = compare(*parties.values()) if len(parties) == 2 else None
            rows.append({"name": wait.name, "seconds": wait.seconds, "parties": parties, "ratio": ratio})
    return rows


def separate(args: argparse.Namespace, folder: str) -> list[Wait]:
    """separate.py, with the weights that come along, on `args.batch` recordings of noise of each length in one call.

    A peer is called as `PEER RECORDING.wav FOLDER`.
    """
    waits = []
    for seconds in args.seconds:
        files = write_recordings(os.path.join(folder, f"{seconds:g}"), seconds, args.batch)
        parties = {"ours": Start(script("separate", args, *files, "--out_dir", "{folder}"))}
        if args.peer:
            parties["peer"] = Start([args.peer_python or sys.executable, args.peer, files[0], "{folder}"])
        waits.append(Wait(f"separate.py, {args.batch} x {seconds:g} s", args.batch * seconds, parties))
    return waits


def evaluate(args: argparse.Namespace, folder: str) -> list[Wait]:
    """evaluate.py, with the weights that come along, until the scores of a test set of one mixture are written."""
    seconds = args.seconds[0]
    write_mixtures(folder, seconds, 1, 2)
    command = script("evaluate", args, "--data_dir", folder, "--out_dir", "{folder}")
    name = f"evaluate.py, first mixture of {seconds:g} s measured"
    return [Wait(name, seconds, {"ours": Start(command, until="{folder}/results.csv")})]


def train(args: argparse.Namespace, folder: str) -> list[Wait]:
    """train.py, with a network of these options and its own defaults, until it has saved its first step."""
    size, seconds = (TRAINING_DATA[name]["default"] for name in ("batch_size", "segment"))
    write_mixtures(folder, seconds, size, args.C)
    options = [f"--{name}={getattr(args, name)}" for name in NETWORK]
    command = script("train", args, "--train_dir", folder, "--valid_dir", folder, "--save_folder", "{folder}", *options)
    parties = with_and_without_kernels([*command, "--save_every=1", "--epochs=1"], until="{folder}/last.ckpt")
    return [Wait(f"train.py, first step, {size} x {seconds:g} s", size * seconds, parties)]


def export(args: argparse.Namespace, folder: str) -> list[Wait]:
    """export.py, with the weights that come along, checked."""
    command = script("export", args, "--file_name", "{folder}/net")
    return [Wait("export.py, checked", 4.0, with_and_without_kernels(command))]


WAITS = {"separate": separate, "evaluate": evaluate, "train": train, "export": export}


def script(name: str, args: argparse.Namespace, *arguments: str) -> list[str]:
    """The command that starts one of our scripts."""
    device = [f"--{option}={getattr(args, option)}" for option in DEVICE if getattr(args, option) is not None]
    return [sys.executable, os.path.join(ROOT, f"{name}.py"), *arguments, *device]


def with_and_without_kernels(command: Sequence[str], until: str | None = None) -> dict[str, Start]:
    """Two parties: where earlier starts have compiled the kernels, and where none have."""
    return {"kernels there": Start(command, until), "no kernels yet": Start(command, until, without_kernels=True)}


def write_recordings(folder: str, seconds: float, count: int) -> list[str]:
    """Write recordings of noise of about so many seconds, no two of one length. Returns their paths."""
    os.makedirs(folder, exist_ok=True)
    paths = [os.path.join(folder, f"{number}.wav") for number in range(count)]
    samples = round(seconds * SAMPLE_RATE) + np.linspace(0, SAMPLE_RATE / 10, count).astype(int)
    for path, length in zip(paths, samples, strict=True):
        soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(length), SAMPLE_RATE)
    return paths


def write_mixtures(folder: str, seconds: float, count: int, sources: int) -> None:
    """Write mixtures of noise of so many seconds, the files of their sources, and their index."""
    random, samples = np.random.default_rng(0), round(seconds * SAMPLE_RATE)
    mixtures = []
    for number in range(count):
        audio = 0.1 * random.standard_normal((sources, samples))
        paths = [
            os.path.join(folder, name, f"{number}.wav") for name in ("mix", *(f"s{c + 1}" for c in range(sources)))
        ]
        for path, track in zip(paths, [audio.sum(0), *audio], strict=True):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            soundfile.write(path, track, SAMPLE_RATE)
        mixtures.append(MixtureFiles(str(number), tuple(paths), samples))
    write_index(folder, mixtures)


def time_start(name: str, start: Start) -> tuple[float, int]:
    """Seconds from the start of a process to what is waited for, and the bytes that it held at most.

    One that goes on after that is ended. Raises UserError if it fails before.
    """
    with temporary_folder() as folder, temporary_folder() as kernels, tempfile.TemporaryFile("w+") as errors:
        command = [part.replace("{folder}", folder) for part in start.command]
        until = start.until and start.until.replace("{folder}", folder)
        environment = os.environ | ({"MS_COMPILER_CACHE_PATH": kernels} if start.without_kernels else {})
        began, ended = time.perf_counter(), 0
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, env=environment)
        while not (ended or (until and os.path.exists(until))):
            if until:
                time.sleep(SECONDS_BETWEEN_LOOKS)
            ended, status, usage = os.wait4(process.pid, os.WNOHANG if until else 0)
        duration = time.perf_counter() - began
        if not ended:
            os.kill(process.pid, signal.SIGTERM)
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if ended and (process.returncode or (until and not os.path.exists(until))):
            errors.seek(0)
            raise UserError(f"{name}: ended with status {process.returncode}: {last_line(errors.read())}")
    return duration, peak_memory(usage)
