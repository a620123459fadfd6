"""benchmarks/starts.py: whole processes in turn, their times, memory and failures."""

import json
import subprocess
import sys

import pytest
import soundfile
from conftest import PATIENCE_SECONDS, ROOT

import benchmark
from benchmarks import starts
from benchmarks.starts import WAITS, Start, time_start, write_recordings
from common.command_line import parse
from common.errors import UserError
from config import STARTED

PEER = """
import shutil, sys, time
recording, folder = sys.argv[1:]
time.sleep(0.5)
shutil.copy(recording, f"{folder}.wav")
"""
START = ["--what", "start", "--seconds", "0.5", "--rounds", "2", "--warmup", "1", "--device_target", "CPU"]
TINY = ["--N", "16", "--L", "8", "--B", "8", "--H", "16", "--X", "2", "--R", "1"]


def start(*options):
    """Run benchmark.py --what start: the rows of its table, and its results.

    In a process of its own: the system counts what the starting one holds as the started one's too.
    """
    command = [sys.executable, "benchmark.py", *START, *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    *table, line = done.stdout.splitlines()
    return [[cell.strip() for cell in row.split("|")[1:-1]] for row in table[2:]], json.loads(line)["rows"]


def test_recordings_in_turn_with_a_peer_and_the_first_mixture_evaluated(tmp_path):
    (tmp_path / "peer.py").write_text(PEER)
    table, rows = start("--scripts", "separate", "evaluate", "--batch", "1", "--peer", str(tmp_path / "peer.py"))
    assert [cells[:2] for cells in table] == [
        ["separate.py, 1 x 0.5 s", "ours"],
        ["separate.py, 1 x 0.5 s", "peer"],
        ["evaluate.py, first mixture of 0.5 s measured", "ours"],
    ]
    separated, evaluated = rows
    for party in (*separated["parties"].values(), *evaluated["parties"].values()):
        assert len(party["rounds"]) == 2 and party["minimum"] == min(party["rounds"]) > 0
        assert 0.005 < party["peak_memory_gb"] < 1
    assert separated["parties"]["peer"]["minimum"] > 0.5 and evaluated["ratio"] is None
    ratio = separated["parties"]["peer"]["median"] / separated["parties"]["ours"]["median"]
    assert separated["ratio"]["of_medians"] == ratio
    assert table[1][5] == f"{ratio:.2f}" and table[0][5] == table[2][5] == ""


@pytest.mark.slow
def test_kernels_are_compiled_anew_where_none_are_to_be_there():
    _, (trained,) = start("--scripts", "train", *TINY, "--rounds", "1")
    there, anew = (trained["parties"][name]["median"] for name in ("kernels there", "no kernels yet"))
    assert anew > there + 1 and trained["ratio"]["of_medians"] == anew / there  # each kernel calls the C++ compiler


def test_export_is_timed_to_its_end(tmp_path):
    args = parse("", "benchmark", "data", "network", "device", argv=START)
    (wait,) = starts.export(args, str(tmp_path))
    assert [each.without_kernels for each in wait.parties.values()] == [False, True]
    for each in wait.parties.values():
        assert each.command[1].endswith("/export.py") and "--device_target=CPU" in each.command and each.until is None


def test_every_script_that_may_be_named_is_known():
    assert tuple(WAITS) == STARTED


def test_recordings_of_as_many_lengths(tmp_path):
    lengths = [soundfile.info(path).frames for path in write_recordings(str(tmp_path / "noise"), 0.5, 5)]
    assert (min(lengths), max(lengths), len(set(lengths))) == (4000, 4800, 5)


def test_one_that_fails_is_a_line():
    command = [sys.executable, "-c", "import sys; print('no torch here', file=sys.stderr); sys.exit(3)"]
    for until in (None, "{folder}/result"):
        with pytest.raises(UserError, match=r"^peer: ended with status 3: no torch here$"):
            time_start("peer", Start(command, until))


def test_one_that_ends_without_what_is_waited_for_is_a_line():
    with pytest.raises(UserError, match=r"^ours: ended with status 0: it printed no error$"):
        time_start("ours", Start([sys.executable, "-c", ""], until="{folder}/result"))


def test_one_that_goes_on_after_its_result_is_ended():
    program = "import sys, time; open(sys.argv[1], 'w'); time.sleep(600)"
    seconds, _ = time_start("ours", Start([sys.executable, "-c", program, "{folder}/result"], "{folder}/result"))
    assert 0 < seconds < PATIENCE_SECONDS
    seconds, _ = time_start("ours", Start(["touch", "{folder}/result"], "{folder}/result"))  # or has ended with it
    assert 0 < seconds < PATIENCE_SECONDS


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--serve"], "--serve"),
        (["--N", "16"], "leave the network's options out"),
        (["--N", "16", "--scripts", "train", "export"], "leave the network's options out"),
        (["--sample_rate", "16000"], "--sample_rate 16000"),
        (["--what", "forward", "--scripts", "train"], "--scripts"),
        (["--batch", "2", "--peer", __file__], "--batch 2"),
    ],
)
def test_options_that_do_not_go_together(options, message):
    with pytest.raises(UserError, match=message):
        benchmark.main([*START, *options])
