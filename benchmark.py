"""Time this project, alone or in turn with a peer in another framework.

    python benchmark.py --what step --seconds 1 2 4 8
    python benchmark.py --what forward --peer PEER.py --peer_python PEER_VENV/bin/python --results speed.jsonl
    python benchmark.py --what step --amp_level O2 --amp_type bfloat16      # in turn with the same in float32
    python benchmark.py --what products         # the forward pass, and the matrix products in it on their own
    python benchmark.py --what evaluate         # what the metrics add to separating 100 mixtures
    python benchmark.py --what equal            # mixtures of 100 lengths, and of one
    python benchmark.py --what separate --seconds 60 300 600 --batch 1 --rounds 1 --warmup 1    # recordings
    python benchmark.py --what start --seconds 4 60 --batch 1 --rounds 3 --peer PEER.py     # scripts from their start
    python benchmark.py --what data             # the input pipeline, against what a step of training consumes
    python benchmark.py --what stream --rounds 1000 --causal 1 --norm_type cgLN     # chunks of a stream, on one core
    python benchmark.py --chart speed.png --results speed.jsonl

Ours and the peer are processes of their own: `benchmark.py --serve`, or the peer's program with `--serve`, prints
{"ready": true, "parameters": ...} once warm, then runs a round for each line of standard input and prints
{"seconds": ...}. They are asked in turn (A B A B ...), so that whatever else the machine does meets both, and their
times are compared pair by pair. The peer knows the options N, L, B, H, P, X, R and C.

With --what start whole scripts are started anew for each round instead, the peer as `PEER RECORDING.wav FOLDER`.

Prints a table and, as the last line, all that was measured as JSON.
"""

from common.signals import end_at_signals

if __name__ == "__main__":
    end_at_signals()  # what follows takes seconds

import argparse
import json
import math
import os
import platform
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.chart import draw_chart
from benchmarks.parties import compare, time_in_turn
from benchmarks.starts import SAMPLE_RATE, time_starts
from benchmarks.tables import print_chunks, print_formats, print_lines, print_rows, print_starts, straight_lines
from common.command_line import parse, require_positive, require_rate
from common.errors import UserError, run
from common.files import temporary_folder
from common.processor import processor_facts
from config import DEVICE, NETWORK, PRECISION, STARTED
from network.options import NetworkOptions, check_precision

# What brings MindSpore is imported where it is needed: the peak memory that the system reports for a process is never
# below what the process that started it had then.

PEER_LETTERS = ("N", "L", "B", "H", "P", "X", "R", "C")
RECORDED_OPTIONS = ("engine", "scripts", "batch", "seconds", "chunk", "sample_rate", "rounds", "warmup", "num_workers")
RECORDED_OPTIONS += (*DEVICE, *PRECISION, *NETWORK)


def main(argv: Sequence[str] | None = None) -> None:
    args = parse(__doc__, "benchmark", "data", "network", "device", "precision", argv=argv)
    if args.chart:
        draw_chart(args.results, args.chart)
        return
    check_options(args)
    if args.serve:
        from benchmarks.workloads import serve

        serve(args)
        return
    record = {
        "what": args.what,
        "options": {name: getattr(args, name) for name in RECORDED_OPTIONS},
        "machine": machine(args),
    }
    others = {"data": measure_pipeline, "stream": measure_stream, "start": measure_starts}
    measure = others.get(args.what, measure_lengths)
    record |= measure(args)
    print(json.dumps(record))
    if args.results:
        append_line(args.results, json.dumps(record))


def check_options(args: argparse.Namespace) -> None:
    """Raise UserError for options that make no sense, before anything is started."""
    require_positive(args, "batch", "rounds", "num_workers", "chunk")
    require_rate(args)
    NetworkOptions.of(args)
    for seconds in args.seconds:
        if not (math.isfinite(seconds) and seconds * args.sample_rate >= 1):
            raise UserError(f"--seconds {seconds:g}: must be above 0, and a sample at least")
    if args.warmup < 1:
        raise UserError(f"--warmup {args.warmup}: must be at least 1, since the first round compiles")
    if len(args.seconds) > 1 and (args.serve or args.what == "data"):
        raise UserError(f"--seconds {args.seconds[1]:g}: --serve and --what data take one length only")
    if args.serve and args.what == "start":
        raise UserError("--serve: a start is over when it is timed; leave it out for --what start")
    if args.scripts != list(STARTED) and args.what != "start":
        raise UserError("--scripts: they are for --what start; leave it out, or add that")
    if args.what == "start" and args.sample_rate != SAMPLE_RATE:
        raise UserError(f"--sample_rate {args.sample_rate}: --what start takes {SAMPLE_RATE}; leave it out")
    if args.what == "start" and args.scripts != ["train"] and NetworkOptions.of(args) != NetworkOptions():
        raise UserError("--what start: times the weights that come along; leave the network's options out")
    if args.serve and args.what == "data":
        raise UserError("--serve: does not time the input pipeline; leave it out for --what data")
    if args.what == "data" and args.rounds < 2:
        raise UserError(f"--rounds {args.rounds}: --what data reads 2 epochs at least, to compare their memory")
    check_precision(args.amp_level, args.amp_type)
    if args.amp_level != "O0" and args.what in ("products", "stream", "start", "data"):
        raise UserError(f"--amp_level {args.amp_level}: --what {args.what} is timed in float32; leave it out")
    check_peer(args)
    if args.results:
        append_line(args.results)


def check_peer(args: argparse.Namespace) -> None:
    """Raise UserError if the peer cannot be started, or cannot do what is asked."""
    if not args.peer:
        if args.peer_python or args.engine != "eager":
            raise UserError("--peer_python, --engine: they are for a peer; name its program with --peer")
        return
    if args.what == "start" and args.batch > 1:
        raise UserError(f"--batch {args.batch}: a peer is given one recording; take --batch 1, or leave --peer out")
    if args.what not in ("forward", "step", "start"):
        raise UserError(f"--what {args.what}: is not compared with a peer; leave --peer out")
    if not os.path.isfile(args.peer):
        raise UserError(f"--peer {args.peer}: no such file; give the peer's program")
    if args.peer_python and not shutil.which(args.peer_python):
        raise UserError(f"--peer_python {args.peer_python}: no such program; give the Python that has the peer's needs")
    for name, option in (NETWORK | PRECISION).items():
        if name not in PEER_LETTERS and getattr(args, name) != option["default"]:
            raise UserError(
                f"--{name} {getattr(args, name)}: the peer has {option['default']} only; leave --{name} out, or --peer"
            )


def append_line(path: str, line: str | None = None) -> None:
    """Append a line to a file; None only sees whether it can be written. Raises UserError if not."""
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write("" if line is None else f"{line}\n")
    except OSError as error:
        raise UserError(f"--results {path}: cannot be written ({error.strerror}); choose another file") from None


def machine(args: argparse.Namespace) -> dict[str, Any]:
    """What the figures depend on: processor, cores and versions."""
    name = processor_facts().get("model name") or platform.processor() or platform.machine()
    facts = {"cpu": name, "cores": os.cpu_count(), "system": platform.system()}
    facts |= {"python": platform.python_version()} | {name: version(name) for name in ("mindspore", "numpy")}
    if args.peer:
        question = [args.peer_python or sys.executable, "-c", "import torch; print(torch.__version__)"]
        answer = subprocess.run(question, capture_output=True, text=True)
        facts["torch"] = answer.stdout.strip() or None
    return facts


def own_command(args: argparse.Namespace, what: str, seconds: float) -> list[str]:
    """The command that times `what` here, at this length."""
    options = [
        f"--{name}={getattr(args, name)}" for name in ("batch", "sample_rate", "warmup", "chunk", *NETWORK, *PRECISION)
    ]
    options += [f"--{name}={getattr(args, name)}" for name in DEVICE if getattr(args, name) is not None]
    script = os.path.abspath(__file__)
    return [sys.executable, script, "--serve", f"--what={what}", f"--seconds={seconds}", *options]


def peer_command(args: argparse.Namespace, seconds: float) -> list[str]:
    """The command that times the peer, at this length."""
    options = [f"--{name}={getattr(args, name)}" for name in ("what", "engine", "batch", "warmup", *PEER_LETTERS)]
    options += [f"--seconds={seconds}", f"--sample-rate={args.sample_rate}"]
    return [args.peer_python or sys.executable, args.peer, "--serve", *options]


def commands(args: argparse.Namespace, seconds: float) -> dict[str, list[str]]:
    """The parties that are timed at this length: {name: command}."""
    if args.what == "products":
        return {what: own_command(args, what, seconds) for what in ("forward", "products")}
    if args.what in ("evaluate", "equal"):
        return {what: own_command(args, what, seconds) for what in ("network", args.what)}
    parties = {"ours": own_command(args, args.what, seconds)}
    if args.peer:
        parties["peer"] = peer_command(args, seconds)
    elif args.amp_level != "O0":
        whole = {name: option["default"] for name, option in PRECISION.items()}
        parties["in float32"] = own_command(argparse.Namespace(**vars(args) | whole), args.what, seconds)
    return parties


def measure_lengths(args: argparse.Namespace) -> dict[str, Any]:
    """Time every length of `args.seconds`, with new processes for each, and print the table.

    Returns {"rows": one dict a length, "lines": how straight their growth is, None for less than three lengths}.
    """
    rows = []
    for seconds in args.seconds:
        label = f"{args.what}, {args.batch} x {seconds:g} s"
        parties = time_in_turn(commands(args, seconds), args.rounds, label, args.batch * seconds)
        ratio = compare(*parties.values()) if len(parties) == 2 else None
        rows.append({"seconds": seconds, "parties": parties, "ratio": ratio})
    print_rows(rows, args)
    lines = straight_lines(rows) if len(set(args.seconds)) > 2 else None
    if lines:
        print_lines(lines)
    return {"rows": rows, "lines": lines}


def measure_starts(args: argparse.Namespace) -> dict[str, Any]:
    """Time whole scripts, and print the table. Returns {"rows": one dict for each thing that is waited for}."""
    rows = time_starts(args)
    print_starts(rows)
    return {"rows": rows}


def measure_pipeline(args: argparse.Namespace) -> dict[str, Any]:
    """Time reading training batches of noise in every way there is, and a step of training, and print the table.

    Returns {"formats": one dict a way, "step": the step's result}.
    """
    from benchmarks.pipeline import time_epoch, write_routes

    formats = []
    with temporary_folder() as folder:
        for name, index in write_routes(folder, args).items():
            epochs = tqdm(range(args.rounds), desc=name, unit="epoch", disable=None, leave=False)
            speeds, examples, memory = zip(*[time_epoch(index, epoch, args) for epoch in epochs], strict=True)
            formats.append({"format": name, "median": statistics.median(speeds), "minimum": min(speeds)})
            formats[-1] |= {"examples_per_second": statistics.median(examples)}
            formats[-1] |= {"audio_seconds_per_second": speeds, "resident_gb": [size / 1e9 for size in memory]}
    audio_seconds = args.batch * args.seconds[0]
    command = own_command(args, "step", args.seconds[0])
    step = time_in_turn({"step": command}, args.rounds, "step", audio_seconds)["step"]
    print_formats(formats, audio_seconds / step["median"])
    return {"formats": formats, "step": step}


def measure_stream(args: argparse.Namespace) -> dict[str, Any]:
    """Time the chunks of a stream in a process that computes on one core, and print the table.

    Returns {"stream": the result, with the seconds that 99 of 100 chunks stay below}.
    """
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # numpy's matrix products; all else there has one thread anyway
    command = own_command(args, "stream", args.seconds[0])
    result = time_in_turn({"stream": command}, args.rounds, "stream", args.chunk / 1000)["stream"]
    result["percentile_99"] = float(np.percentile(result["rounds"], 99))
    print_chunks(result, args.chunk)
    return {"stream": result}


if __name__ == "__main__":
    run(main)
