"""benchmarks/starts.py: whole processes in turn, their times, memory and failures."""

import json
import subprocess
import sys

import pytest
import soundfile
from conftest import ROOT

import benchmark
from benchmarks.starts import time_process, write_noise
from common.errors import UserError

PEER = """
import shutil, sys, time
recording, folder = sys.argv[1:]
time.sleep(0.5)
shutil.copy(recording, f"{folder}.wav")
"""
START = ["--what", "start", "--seconds", "0.5", "--rounds", "2", "--warmup", "1", "--device_target", "CPU"]


def test_ours_and_a_peer_in_turn(tmp_path):
    (tmp_path / "peer.py").write_text(PEER)
    # A process of its own: the system counts what the starting one holds as the started one's too.
    command = [sys.executable, "benchmark.py", *START, "--batch", "1", "--peer", tmp_path / "peer.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    *_, ours, peer, line = done.stdout.splitlines()
    assert "ours" in ours and "peer" in peer
    (row,) = json.loads(line)["rows"]
    for party in row["parties"].values():
        assert len(party["rounds"]) == 2 and party["minimum"] == min(party["rounds"]) > 0
        assert 0.005 < party["peak_memory_gb"] < 1
    assert row["parties"]["peer"]["minimum"] > 0.5
    assert row["ratio"]["of_medians"] == row["parties"]["peer"]["median"] / row["parties"]["ours"]["median"]


def test_recordings_of_as_many_lengths(tmp_path):
    lengths = [soundfile.info(path).frames for path in write_noise(str(tmp_path), 0.5, 5)]
    assert (min(lengths), max(lengths), len(set(lengths))) == (4000, 4800, 5)


def test_one_that_fails_is_a_line():
    with pytest.raises(UserError, match=r"^peer: ended with status 3: no torch here$"):
        time_process("peer", [sys.executable, "-c", "import sys; print('no torch here', file=sys.stderr); sys.exit(3)"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--serve"], "--serve"),
        (["--N", "16"], "leave the network's options out"),
        (["--batch", "2", "--peer", __file__], "--batch 2"),
    ],
)
def test_options_that_do_not_go_together(options, message):
    with pytest.raises(UserError, match=message):
        benchmark.main([*START, *options])
