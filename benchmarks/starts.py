"""Whole processes, timed from their start to their end as a person waits for them, in turn with a peer's."""

import argparse
import os
import subprocess
import sys
import time

import numpy as np
import soundfile
from tqdm import tqdm

from benchmarks.parties import Result, figures_of, last_line, peak_memory
from common.errors import UserError
from common.files import temporary_folder

SCRIPT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "separate.py")
SAMPLE_RATE = 8000  # of the weights that come with the project


def time_starts(args: argparse.Namespace, seconds: float) -> dict[str, Result]:
    """Time separate.py, with the weights that come along, on `args.batch` recordings of noise in one call.

    Args:
        args: options of benchmark.py. A peer is called as `PEER RECORDING.wav FOLDER`.
        seconds: of a recording; with several, the lengths lie up to a tenth of a second apart.

    Returns {name: figures of its rounds}, of "ours" and, if there is one, of "peer". Raises UserError if one fails.
    """
    with temporary_folder() as folder:
        files = write_noise(folder, seconds, args.batch)
        device = ["--device_target", args.device_target] if args.device_target else []
        commands = {"ours": [sys.executable, SCRIPT, *files, "--out_dir", f"{folder}/ours", "--overwrite", *device]}
        if args.peer:
            commands["peer"] = [args.peer_python or sys.executable, args.peer, files[0], f"{folder}/peer"]
        rounds = {name: [] for name in commands}
        for _ in tqdm(range(args.warmup + args.rounds), f"{seconds:g} s", unit="round", disable=None, leave=False):
            for name, command in commands.items():
                rounds[name].append(time_process(name, command))
    results = {}
    for name, timed in rounds.items():
        times, memory = zip(*timed, strict=True)
        results[name] = figures_of(list(times[args.warmup :]), args.batch * seconds, max(memory))
    return results


def write_noise(folder: str, seconds: float, count: int) -> list[str]:
    """Write recordings of noise of about so many seconds, no two of one length. Returns their paths."""
    paths = [os.path.join(folder, f"{number}.wav") for number in range(count)]
    samples = round(seconds * SAMPLE_RATE) + np.linspace(0, SAMPLE_RATE / 10, count).astype(int)
    for path, length in zip(paths, samples, strict=True):
        soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(length), SAMPLE_RATE)
    return paths


def time_process(name: str, command: list[str]) -> tuple[float, int]:
    """Seconds from the start of a process to its end, and the bytes that it held at most."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    with process.stderr:
        errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    duration = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise UserError(f"{name}: ended with status {process.returncode}: {last_line(errors)}")
    return duration, peak_memory(usage)
