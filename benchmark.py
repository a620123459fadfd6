"""Time this project, alone or in turn with a peer in another framework.

    python benchmark.py --what step --seconds 1 2 4 8
    python benchmark.py --what forward --peer PEER.py --peer_python PEER_VENV/bin/python --results speed.jsonl
    python benchmark.py --what products         # the forward pass, and the matrix products in it on their own
    python benchmark.py --what evaluate         # what the metrics add to separating 100 utterances
    python benchmark.py --what equal            # utterances of 100 lengths, and of one
    python benchmark.py --what separate --seconds 60 300 600 --batch 1 --rounds 1 --warmup 1    # recordings
    python benchmark.py --what data             # the input pipeline, against what a step of training consumes
    python benchmark.py --what stream --rounds 1000 --causal 1 --norm_type cgLN     # chunks of a stream, on one core
    python benchmark.py --chart speed.png --results speed.jsonl

Ours and the peer are processes of their own: `benchmark.py --serve`, or the peer's program with `--serve`, prints
{"ready": true, "parameters": ...} once warm, then runs a round for each line of standard input and prints
{"seconds": ...}. They are asked in turn (A B A B ...), so that whatever else the machine does meets both, and their
times are compared pair by pair. The peer knows the options N, L, B, H, P, X, R and C.

Prints a table and, as the last line, all that was measured as JSON.
"""

import json
import math
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from importlib.metadata import version

import numpy as np
from tqdm import tqdm

from benchmarks.tables import draw_chart, print_chunks, print_formats, print_lines, print_rows, straight_lines
from common.command_line import parse, require_positive
from common.errors import UserError, run
from config import DEVICE, NETWORK
from network.options import NetworkOptions

# benchmarks/workloads.py is imported where it is needed: it brings MindSpore, and the peak memory that the system tells
# of a process is never below what the process that started it had then.

SECONDS_TO_END = 10
PEER_LETTERS = ("N", "L", "B", "H", "P", "X", "R", "C")
TOLD = (
    "engine",
    "batch",
    "seconds",
    "chunk",
    "sample_rate",
    "rounds",
    "warmup",
    "num_workers",
    "device_target",
    *NETWORK,
)


def main(argv=None):
    args = parse(__doc__, "benchmark", "data", "network", "device", argv=argv)
    if args.chart:
        draw_chart(args.results, args.chart)
        return
    check(args)
    if args.serve:
        from benchmarks.workloads import serve

        serve(args)
        return
    record = {"what": args.what, "options": {name: getattr(args, name) for name in TOLD}, "machine": machine(args)}
    measure = {"data": measure_pipeline, "stream": measure_stream}.get(args.what, measure_lengths)
    record |= measure(args)
    print(json.dumps(record))
    if args.results:
        append_line(args.results, json.dumps(record))


def check(args):
    """Raise UserError for options that make no sense, before anything is started."""
    require_positive(args, "batch", "rounds", "sample_rate", "num_workers", "chunk")
    NetworkOptions.of(args)
    for seconds in args.seconds:
        if not (math.isfinite(seconds) and seconds * args.sample_rate >= 1):
            raise UserError(f"--seconds {seconds:g}: must be above 0, and a sample at least")
    if args.warmup < 1:
        raise UserError(f"--warmup {args.warmup}: must be at least 1, since the first round compiles")
    if len(args.seconds) > 1 and (args.serve or args.what == "data"):
        raise UserError(f"--seconds {args.seconds[1]:g}: --serve and --what data take one length only")
    if args.serve and args.what == "data":
        raise UserError("--serve: does not time the input pipeline; leave it out for --what data")
    if args.what == "data" and args.rounds < 2:
        raise UserError(f"--rounds {args.rounds}: --what data reads 2 epochs at least, to compare their memory")
    check_peer(args)
    if args.results:
        append_line(args.results)


def check_peer(args):
    """Raise UserError if the peer cannot be started, or cannot do what is asked."""
    if not args.peer:
        if args.peer_python or args.engine != "eager":
            raise UserError("--peer_python, --engine: they are for a peer; name its program with --peer")
        return
    if args.what not in ("forward", "step"):
        raise UserError(f"--what {args.what}: is not compared with a peer; leave --peer out")
    if not os.path.isfile(args.peer):
        raise UserError(f"--peer {args.peer}: no such file; give the peer's program")
    if args.peer_python and not shutil.which(args.peer_python):
        raise UserError(f"--peer_python {args.peer_python}: no such program; give the Python that has the peer's needs")
    for name, option in NETWORK.items():
        if name not in PEER_LETTERS and getattr(args, name) != option["default"]:
            raise UserError(
                f"--{name} {getattr(args, name)}: the peer has {option['default']} only; leave --{name} out, or --peer"
            )


def append_line(path, line=None):
    """Append a line to a file; None only sees whether it can be written. Raises UserError if not."""
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write("" if line is None else f"{line}\n")
    except OSError as error:
        raise UserError(f"--results {path}: cannot be written ({error.strerror}); choose another file") from None


def machine(args):
    """What the figures depend on: processor, cores and versions."""
    facts = {"cpu": processor(), "cores": os.cpu_count(), "system": platform.system()}
    facts |= {"python": platform.python_version()} | {name: version(name) for name in ("mindspore", "numpy")}
    if args.peer:
        question = [args.peer_python or sys.executable, "-c", "import torch; print(torch.__version__)"]
        answer = subprocess.run(question, capture_output=True, text=True)
        facts["torch"] = answer.stdout.strip() or None
    return facts


def processor():
    """The processor's model, as far as the system tells."""
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


class Party:
    """A process that runs and times a round when asked. It is ended when its `with` block is left, however.

    Its standard error goes to the file `errors`. Attributes: `name`; `ready`, what it said once warm; `rounds`, seconds
    of each; `peak_memory`, bytes, once ended.
    """

    def __init__(self, name, command, errors):
        self.name, self.errors, self.rounds = name, errors, []
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()
        self.process.stdout.close()

    def warm_up(self):
        self.ready = self.answer("ready")

    def time_round(self):
        with suppress(BrokenPipeError):  # it has died, which its answer tells
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        self.rounds.append(self.answer("seconds")["seconds"])

    def answer(self, key):
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

    def last_error(self):
        self.errors.seek(0)
        lines = self.errors.read().split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it printed no error")

    def end(self):
        """Close its standard input, at which it ends, and keep its peak memory; kill it if it goes on."""
        if self.process.returncode is not None:
            return
        with suppress(OSError):
            self.process.stdin.close()
        deadline = time.monotonic() + SECONDS_TO_END
        # wait4 tells the memory of this process; Popen's own wait, poll and kill would take its end away from it.
        while (ended := os.wait4(self.process.pid, os.WNOHANG))[0] == 0:
            if time.monotonic() > deadline:
                os.kill(self.process.pid, signal.SIGKILL)
            time.sleep(0.02)
        _, status, usage = ended
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.peak_memory = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)

    def result(self, audio_seconds):
        """What its rounds say, each of so many seconds of audio unless it told otherwise, as a dict."""
        median = statistics.median(self.rounds)
        audio_seconds = self.ready.get("audio_seconds", audio_seconds)
        return {
            "median": median,
            "minimum": min(self.rounds),
            "real_time_factor": median / audio_seconds,
            "peak_memory_gb": self.peak_memory / 1e9,
            "rounds": self.rounds,
            **{fact: value for fact, value in self.ready.items() if fact != "ready"},
        }


def own_command(args, what, seconds):
    options = [f"--{name}={getattr(args, name)}" for name in ("batch", "sample_rate", "warmup", "chunk", *NETWORK)]
    options += [f"--{name}={getattr(args, name)}" for name in DEVICE if getattr(args, name) is not None]
    script = os.path.abspath(__file__)
    return [sys.executable, script, "--serve", f"--what={what}", f"--seconds={seconds}", *options]


def peer_command(args, seconds):
    options = [f"--{name}={getattr(args, name)}" for name in ("what", "engine", "batch", "warmup", *PEER_LETTERS)]
    options += [f"--seconds={seconds}", f"--sample-rate={args.sample_rate}"]
    return [args.peer_python or sys.executable, args.peer, "--serve", *options]


def commands(args, seconds):
    """Who is timed at this length: {name: command}."""
    if args.what == "products":
        return {what: own_command(args, what, seconds) for what in ("forward", "products")}
    if args.what in ("evaluate", "equal"):
        return {what: own_command(args, what, seconds) for what in ("network", args.what)}
    parties = {"ours": own_command(args, args.what, seconds)}
    if args.peer:
        parties["peer"] = peer_command(args, seconds)
    return parties


def time_in_turn(parties, rounds, label, audio_seconds):
    """Start the parties ({name: command}), ask them in turn for so many rounds, and end them: {name: result}."""
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


def compare(first, second):
    """The second party's times divided by the first's: of their medians, and pair by pair, round for round."""
    pairs = [b / a for a, b in zip(first["rounds"], second["rounds"], strict=True)]
    return {
        "of_medians": second["median"] / first["median"],
        "median": statistics.median(pairs),
        "lowest": min(pairs),
        "highest": max(pairs),
    }


def measure_lengths(args):
    """Time every length of `args.seconds`, with new processes for each, and print the table.

    Returns {"rows": one dict a length, "lines": how straight their growth is, None of less than three lengths}.
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


def measure_pipeline(args):
    """Time reading training batches of noise in every way there is, and a step of training, and print the table.

    Returns {"formats": one dict a way, "step": the step's result}.
    """
    from benchmarks.workloads import time_epoch, write_routes

    formats = []
    with tempfile.TemporaryDirectory() as folder:
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


def measure_stream(args):
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
