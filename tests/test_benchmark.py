"""benchmark.py: what it prints and records, its protocol, and what is refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import PATIENCE_SECONDS

import benchmark
from benchmarks import pipeline
from common.command_line import parse
from common.errors import UserError

SCRIPT = benchmark.__file__
PEER = str(Path(__file__).parent / "benchmarks" / "peer.py")
TINY = ["--N", "16", "--L", "8", "--B", "8", "--H", "16", "--X", "2", "--R", "1", "--seconds", "0.1", "--rounds", "3"]
TINY += ["--warmup", "1", "--device_target", "CPU"]


def command_line(*arguments, **environment):
    """Run benchmark.py as a user does: exit status, standard output, lines of standard error."""
    done = subprocess.run(
        [sys.executable, SCRIPT, *arguments], capture_output=True, text=True, env=os.environ | environment
    )
    return done.returncode, done.stdout, done.stderr.splitlines()


@pytest.mark.parametrize("what", ["forward", pytest.param("step", marks=pytest.mark.slow), "products"])
def test_serving(what):
    command = [sys.executable, SCRIPT, "--serve", "--what", what, *TINY]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        ready = json.loads(process.stdout.readline())
        assert ready["ready"] is True and ready["device"] == "CPU"
        weights = 2 * 16 * 8 + 16 * 8 + 2 * 2 * 8 * 16 + 8 * 2 * 16  # encoder and decoder, 1x1 convolutions
        others = 2 * (3 * 16 + 2 * 2 * 16 + 2) + 2 * 16  # depthwise taps, norms and PReLUs of the blocks; first norm
        assert ready["parameters"] == weights + (others if what != "products" else 0)
        assert ready["first_call"] > 0
        for _ in range(2):
            process.stdin.write("\n")
            process.stdin.flush()
            assert 0 < json.loads(process.stdout.readline())["seconds"] < PATIENCE_SECONDS
        process.stdin.close()
        assert process.stdout.read() == ""
        assert process.wait(PATIENCE_SECONDS) == 0


@pytest.mark.slow
def test_ours_and_a_peer_give_a_table_and_a_line_of_results(tmp_path):
    results, log = tmp_path / "results.jsonl", tmp_path / "log"
    results.write_text('{"an": "earlier line"}\n')
    status, output, errors = command_line(
        *TINY, "--peer", PEER, "--batch", "3", "--results", str(results), LOG=str(log)
    )
    assert (status, errors) == (0, [])
    *table, line = output.splitlines()
    assert [row.split("|")[2].strip() for row in table] == ["timed", "-" * 11, "ours", "peer, eager"]
    lines = results.read_text().splitlines()
    assert len(lines) == 2 and lines[1] == line
    record = json.loads(line)
    assert record["options"]["N"] == 16 and record["machine"]["python"].count(".") == 2
    (row,) = record["rows"]
    ours, theirs = row["parties"]["ours"], row["parties"]["peer"]
    assert len(ours["rounds"]) == 3 and ours["first_call"] > max(ours["rounds"]) and ours["peak_memory_gb"] > 0.1
    assert theirs["rounds"] == [0.5, 1.5, 2.5] and theirs["median"] == 1.5 and theirs["minimum"] == 0.5
    assert theirs["real_time_factor"] == pytest.approx(1.5 / (3 * 0.1)) and theirs["parameters"] == 7
    assert row["ratio"]["of_medians"] == pytest.approx(1.5 / np.median(ours["rounds"]))
    assert row["ratio"]["median"] == pytest.approx(np.median(np.array(theirs["rounds"]) / ours["rounds"]))
    given = log.read_text().splitlines()[0].split()[2:]
    options = dict(option.removeprefix("--").split("=") for option in given if option != "--serve")
    letters = {"N": "16", "L": "8", "B": "8", "H": "16", "P": "3", "X": "2", "R": "1", "C": "2"}
    others = {"what": "forward", "engine": "eager", "batch": "3", "seconds": "0.1", "sample-rate": "8000"}
    assert "--serve" in given and options == letters | others | {"warmup": "1"}


@pytest.mark.slow
def test_evaluation_of_many_lengths_beside_equal_ones():
    status, output, errors = command_line(*TINY, "--what", "equal")
    assert (status, errors) == (0, [])
    *table, line = output.splitlines()
    assert [row.split("|")[1].strip() for row in table[2:]] == ["100 of about 0.1 s"] * 2
    (row,) = json.loads(line)["rows"]
    different, equal = row["parties"]["network"], row["parties"]["equal"]
    for party in (different, equal):
        assert party["audio_seconds"] == pytest.approx(10, rel=0.01)  # as much audio
        assert party["real_time_factor"] == party["median"] / party["audio_seconds"]
    assert row["ratio"]["of_medians"] == equal["median"] / different["median"]


@pytest.mark.slow
def test_evaluation_beside_the_network_alone():
    status, output, errors = command_line(*TINY, "--what", "evaluate")
    assert (status, errors) == (0, [])
    (row,) = json.loads(output.splitlines()[-1])["rows"]
    network, measured = row["parties"]["network"], row["parties"]["evaluate"]
    assert network["audio_seconds"] == measured["audio_seconds"] == pytest.approx(10, rel=0.01)
    assert row["ratio"]["of_medians"] == measured["median"] / network["median"] > 1  # so small a network is faster


@pytest.mark.slow
def test_input_pipeline(monkeypatch, capsys):
    monkeypatch.setattr(pipeline, "MIXTURES", 5)
    monkeypatch.setattr(pipeline, "MIXTURE_SECONDS", (0.6, 0.8))  # noise has to last half a second
    benchmark.main(["--what", "data", *TINY])
    *table, line = capsys.readouterr().out.splitlines()
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in table[2:-1]]
    mixed = [f"{task}, {how}" for how in ("on the fly", "dynamic mixing") for task in ("sep_clean", "sep_noisy")]
    assert [row[0] for row in rows] == ["flac, 16000 Hz", "wav, 8000 Hz", *mixed, "MindRecord"]
    record = json.loads(line)
    consumption = 2 * 0.1 / record["step"]["median"]
    assert f"{consumption:.2f} s of audio" in table[-1]
    for row in record["formats"]:
        assert len(row["audio_seconds_per_second"]) == len(row["resident_gb"]) == 3
        assert all(0.01 < size < 10 for size in row["resident_gb"])
        assert row["median"] == np.median(row["audio_seconds_per_second"]) > 0
        assert row["examples_per_second"] == pytest.approx(10 * row["median"], rel=0.2)  # of 0.1 s, few shorter


def test_stream_is_timed_chunk_by_chunk(capsys):
    options = ["--what", "stream", "--causal", "1", "--norm_type", "cLN", "--rounds", "50", "--chunk", "10"]
    benchmark.main([*TINY, *options])
    *table, line = capsys.readouterr().out.strip().splitlines()
    stream = json.loads(line)["stream"]
    assert len(stream["rounds"]) == 50
    assert stream["median"] <= stream["percentile_99"] <= max(stream["rounds"])
    assert stream["real_time_factor"] == pytest.approx(stream["median"] / 0.010)
    assert f"{1000 * stream['percentile_99']:.2f}" in table[-1]


def test_stream_of_a_network_that_looks_ahead_is_refused():
    with pytest.raises(UserError, match="looks ahead"):
        benchmark.main([*TINY, "--what", "stream"])


def test_recordings_are_separated_from_files_to_files(capsys):
    benchmark.main([*TINY, "--what", "separate"])
    *table, line = capsys.readouterr().out.strip().splitlines()
    assert table[-1].startswith("| 2 x 0.1 s | ours")
    ours = json.loads(line)["rows"][0]["parties"]["ours"]
    assert len(ours["rounds"]) == 3 and ours["real_time_factor"] == pytest.approx(ours["median"] / (2 * 0.1))


def test_half_precision_is_timed_in_turn_with_float32():
    options = [*TINY, "--what", "step", "--amp_level", "O2", "--amp_type", "bfloat16"]
    args = parse("", "benchmark", "data", "network", "device", "precision", argv=options)
    (_, half), (name, whole) = benchmark.commands(args, 0.1).items()
    assert name == "in float32" and {"--what=step", "--amp_level=O2", "--amp_type=bfloat16"} < set(half)
    differing = ("level=O0", "level=O2", "type=float16", "type=bfloat16")
    assert set(whole) ^ set(half) == {f"--amp_{each}" for each in differing}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--peer", "none.py"], "--peer none.py: no such file"),
        (["--peer", SCRIPT, "--peer_python", "none/python"], "--peer_python none/python: no such program"),
        (["--peer", SCRIPT, "--norm_type", "cLN"], "--norm_type cLN: the peer has gLN only"),
        (["--peer", SCRIPT, "--Sc", "8"], "--Sc 8: the peer has 0 only"),
        (["--peer", SCRIPT, "--causal", "1", "--norm_type", "cLN"], "the peer has"),
        (["--peer", SCRIPT, "--what", "products"], "--what products: is not compared with a peer"),
        (["--peer", SCRIPT, "--amp_level", "O2"], "--amp_level O2: the peer has O0 only"),
        (["--amp_type", "bfloat16"], "--amp_type bfloat16: only --amp_level O2 and O3 use it"),
        (["--what", "stream", "--amp_level", "O2"], "--amp_level O2: --what stream is timed in float32"),
        (["--engine", "compile"], "--engine: they are for a peer"),
        (["--batch", "0"], "--batch 0: must be above 0"),
        (["--rounds", "0"], "--rounds 0: must be above 0"),
        (["--warmup", "0"], "--warmup 0: must be at least 1"),
        (["--seconds", "4", "nan"], "--seconds nan: must be above 0"),
        (["--seconds", "0.0001"], "--seconds 0.0001: must be above 0"),
        (["--sample_rate", "0"], "--sample_rate 0: must be from 1000 to 768000"),
        (["--L", "21"], "--L 21: "),
        (["--what", "data", "--rounds", "1"], "--rounds 1: --what data reads 2 epochs"),
        (["--what", "data", "--seconds", "1", "2"], "--seconds 2: --serve and --what data take one length"),
        (["--serve", "--what", "data"], "--serve: does not time the input pipeline"),
        (["--results", "none/results.jsonl"], "--results none/results.jsonl: cannot be written"),
        (["--chart", "chart.png"], "--chart: draws what an earlier --results FILE holds"),
        (["--chart", "chart.png", "--results", "none.jsonl"], "--results none.jsonl: cannot be read"),
    ],
)
def test_what_makes_no_sense_is_one_line(arguments, message):
    with pytest.raises(UserError) as error:
        benchmark.main(arguments)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_users_error_is_a_line_and_status_2():
    status, output, errors = command_line("--peer", "none.py")
    assert (status, output) == (2, "") and len(errors) == 1 and errors[0].startswith("error: --peer none.py")
