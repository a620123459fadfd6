"""benchmark.py: the protocol, the turns, the figures, what is refused, and that no process is left behind."""

import json
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

import benchmark
from benchmarks import parties, tables, workloads
from benchmarks.chart import read_bars
from common.command_line import parse
from common.errors import UserError
from network.options import NetworkOptions

SCRIPT = benchmark.__file__
TINY = ["--N", "16", "--L", "8", "--B", "8", "--H", "16", "--X", "2", "--R", "1", "--seconds", "0.1", "--rounds", "3"]
TINY += ["--warmup", "1", "--device_target", "CPU"]
# A peer that notes its options and every line it is asked on, in one file for all of them.
PEER = """
import json, os, sys
name = os.environ.get("NAME", "peer")
log = open(os.environ["LOG"], "a", buffering=1)
print(name, os.getpid(), *sys.argv[1:], file=log)
print(json.dumps({"ready": True, "parameters": 7}), flush=True)
for number, _ in enumerate(sys.stdin):
    print(name, number, file=log)
    print(json.dumps({"seconds": 0.5 + number}), flush=True)
print(name, "ends", file=log)
"""


def python(code, *arguments):
    """The command that runs this code."""
    return [sys.executable, "-c", code, *arguments]


def command_line(*arguments, **environment):
    """Run benchmark.py as a user does: exit status, standard output, lines of standard error."""
    done = subprocess.run(
        [sys.executable, SCRIPT, *arguments], capture_output=True, text=True, env=os.environ | environment
    )
    return done.returncode, done.stdout, done.stderr.splitlines()


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
def peer(tmp_path):
    path = tmp_path / "peer.py"
    path.write_text(PEER)
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
            assert 0 < json.loads(process.stdout.readline())["seconds"] < 10
        process.stdin.close()
        assert process.stdout.read() == ""
        assert process.wait(30) == 0


@pytest.mark.slow
def test_ours_and_a_peer_give_a_table_and_a_line_of_results(peer, log, tmp_path):
    results = tmp_path / "results.jsonl"
    results.write_text('{"an": "earlier line"}\n')
    status, output, errors = command_line(*TINY, "--peer", str(peer), "--batch", "3", "--results", str(results))
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
    told = log.read_text().splitlines()[0].split()[2:]
    options = dict(option.removeprefix("--").split("=") for option in told if option != "--serve")
    letters = {"N": "16", "L": "8", "B": "8", "H": "16", "P": "3", "X": "2", "R": "1", "C": "2"}
    others = {"what": "forward", "engine": "eager", "batch": "3", "seconds": "0.1", "sample-rate": "8000"}
    assert "--serve" in told and options == letters | others | {"warmup": "1"}


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


def test_parties_take_turns(log, started):
    commands = {name: python(f"import os; os.environ['NAME'] = {name!r}\n{PEER}") for name in ("A", "B")}
    results = parties.time_in_turn(commands, 3, "", 2.0)
    events = [line.split()[:2] for line in log.read_text().splitlines()]
    assert [name for name, event in events if event.isdecimal() and int(event) < 3] == list("ABABAB")
    assert events[-2:] == [["A", "ends"], ["B", "ends"]]
    assert results["A"]["rounds"] == results["B"]["rounds"] == [0.5, 1.5, 2.5]
    assert len(started) == 2 and not any(map(is_running, started))


def test_peak_memory_is_each_partys_own():
    large = python("memory = b'1' * 300_000_000\n" + PEER)
    code = (
        "import json\nfrom benchmarks import parties\n"
        f"results = parties.time_in_turn({ {'small': python(PEER), 'large': large}!r}, 1, '', 1.0)\n"
        "print(json.dumps({name: result['peak_memory_gb'] for name, result in results.items()}))"
    )
    # A process of its own: the system counts what the starting one held as the started one's too.
    environment = os.environ | {"LOG": os.devnull}
    folder = os.path.dirname(SCRIPT)
    answer = subprocess.run(python(code), capture_output=True, text=True, env=environment, cwd=folder, check=True)
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
        parties.time_in_turn({"good": python(PEER), "bad": python(code)}, 2, "", 1.0)
    assert message in str(error.value) and "\n" not in str(error.value)
    assert log.read_text().splitlines()[-1] == "peer ends"
    assert len(started) == 2 and not any(map(is_running, started))


def test_a_party_that_goes_on_is_killed(monkeypatch, started):
    monkeypatch.setattr(benchmark, "SECONDS_TO_END", 0.3)
    stubborn = "import time; print('{\"ready\": true}', flush=True); input(); print('{\"seconds\": 1}', flush=True)"
    began = time.monotonic()
    result = parties.time_in_turn({"stubborn": python(f"{stubborn}; time.sleep(100)")}, 1, "", 1.0)
    assert result["stubborn"]["rounds"] == [1] and time.monotonic() - began < 10
    assert not is_running(started[0])


def test_an_interruption_ends_all(monkeypatch, log, started):
    def interrupt(party):
        raise KeyboardInterrupt

    monkeypatch.setattr(parties.Party, "time_round", interrupt)
    with pytest.raises(KeyboardInterrupt):
        parties.time_in_turn({"A": python(PEER), "B": python(PEER)}, 2, "", 1.0)
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


def test_deviation_from_a_line():
    lengths = [1.0, 2.0, 4.0, 8.0, 16.0]
    assert tables.deviation_from_line(lengths, [3 * x + 0.5 for x in lengths]) == pytest.approx(0, abs=1e-9)
    times = [0.13, 0.21, 0.45, 0.78, 1.70]
    relative = np.stack([lengths, np.ones(5)], axis=1) / np.array(times)[:, None]
    line = np.stack([lengths, np.ones(5)], axis=1) @ np.linalg.lstsq(relative, np.ones(5), rcond=None)[0]
    assert tables.deviation_from_line(lengths, times) == pytest.approx(100 * np.max(np.abs(times - line) / line))


@pytest.mark.parametrize("Sc", [0, 6])
def test_products_are_those_of_the_forward_pass(device, Sc):
    N, L, B, H, X, R, C = 12, 8, 5, 10, 2, 2, 3
    options = NetworkOptions(N=N, L=L, B=B, H=H, X=X, R=R, C=C, Sc=Sc)
    products = workloads.Products(options).set_train(False)
    rows = 2 * 7
    frames = np.random.default_rng(0).standard_normal((rows, L)).astype(np.float32)
    *skips, decoded = [tensor.asnumpy() for tensor in products(workloads.ms.Tensor(frames))]

    # Every weight is needed for one of the results, by products of these shapes.
    weights = {name: parameter.asnumpy() for name, parameter in products.parameters_and_names()}
    x = frames @ weights.pop("encoder.weight").T @ weights.pop("bottleneck.weight").T
    for i in range(X * R):
        y = x @ weights.pop(f"convs_in.{i}.weight").T
        assert y.shape == (rows, H)
        if Sc:
            skip = y @ weights.pop(f"skips.{i}.weight").T
            np.testing.assert_allclose(skips[i], skip, atol=1e-4)
        if not Sc or i < X * R - 1:
            x = y @ weights.pop(f"residuals.{i}.weight").T
    masks = (skip if Sc else x) @ weights.pop("masks.weight").T
    expected = masks.reshape(rows * C, N) @ weights.pop("decoder.weight").T
    np.testing.assert_allclose(decoded, expected, atol=1e-4)
    assert decoded.shape == (rows * C, L) and len(skips) == (X * R if Sc else 0) and not weights

    block = 2 * B * H + H * Sc
    last = B * H if Sc else 0  # the last residual, where nothing reads it
    total = L * N + N * B + X * R * block - last + (Sc or B) * C * N + C * N * L
    assert products.operations(rows) == 2 * rows * total


def test_noise_is_what_training_takes():
    args = parse("", "benchmark", "data", "network", argv=["--seconds", "0.25", "--batch", "3", "--C", "3"])
    mixture, lengths, sources = (column.asnumpy() for column in workloads.noise(args))
    assert mixture.shape == (3, 2000) and sources.shape == (3, 3, 2000) and lengths.tolist() == [2000] * 3
    np.testing.assert_allclose(mixture, sources.sum(1), atol=1e-6)
    assert sources.std() == pytest.approx(0.1, rel=0.05)


@pytest.mark.slow
def test_input_pipeline(monkeypatch, capsys):
    monkeypatch.setattr(workloads, "UTTERANCES", 5)
    monkeypatch.setattr(workloads, "UTTERANCE_SECONDS", (0.6, 0.8))  # noise has to last half a second
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


def test_noise_of_the_input_pipeline_is_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(workloads, "UTTERANCES", 3)
    monkeypatch.setattr(workloads, "UTTERANCE_SECONDS", (0.3, 0.5))
    monkeypatch.setattr(workloads, "time", SimpleNamespace(perf_counter=iter([10.0, 12.0]).__next__))
    args = parse("", "benchmark", "data", "network", argv=["--seconds", "0.25", "--C", "3"])
    index = workloads.write_noise(tmp_path, "flac", 16000, args)
    assert index.sources == 3 and len(index) == 3 and all(2400 <= length <= 4000 for length in index.lengths)
    speed, examples, memory = workloads.time_epoch(index, 0, args)
    assert examples == 3.0  # six in two seconds
    assert speed == pytest.approx(3 * 2 * 0.25 / 2.0)  # two crops of each utterance in two seconds
    assert memory > 10e6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--peer", "none.py"], "--peer none.py: no such file"),
        (["--peer", SCRIPT, "--peer_python", "none/python"], "--peer_python none/python: no such program"),
        (["--peer", SCRIPT, "--norm_type", "cLN"], "--norm_type cLN: the peer has gLN only"),
        (["--peer", SCRIPT, "--Sc", "8"], "--Sc 8: the peer has 0 only"),
        (["--peer", SCRIPT, "--causal", "1", "--norm_type", "cLN"], "the peer has"),
        (["--peer", SCRIPT, "--what", "products"], "--what products: is not compared with a peer"),
        (["--engine", "compile"], "--engine: they are for a peer"),
        (["--batch", "0"], "--batch 0: must be above 0"),
        (["--rounds", "0"], "--rounds 0: must be above 0"),
        (["--warmup", "0"], "--warmup 0: must be at least 1"),
        (["--seconds", "4", "nan"], "--seconds nan: must be above 0"),
        (["--seconds", "0.0001"], "--seconds 0.0001: must be above 0"),
        (["--sample_rate", "0"], "--sample_rate 0: must be above 0"),
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


def result_line(engine, ours, peer, **network):
    rounds = {"ours": {"median": ours}, "peer": {"median": peer}}
    options = parse("", "benchmark", "data", "network", "device", argv=["--engine", engine])
    options = {name: getattr(options, name) for name in benchmark.TOLD} | network
    row = {"seconds": 4.0, "parties": rounds, "ratio": {"of_medians": peer / ours}}
    return json.dumps({"what": "forward", "options": options, "rows": [row]}) + "\n"


def test_chart(tmp_path):
    from PIL import Image

    results, chart = tmp_path / "results.jsonl", tmp_path / "chart.png"
    without_peer = {"what": "data", "options": json.loads(result_line("eager", 1, 1))["options"], "formats": []}
    lines = [result_line("eager", 0.5, 0.6), json.dumps(without_peer) + "\n", result_line("compile", 0.5, 0.4, L=16)]
    results.write_text("".join(lines))
    assert read_bars(results) == [
        ("forward\n2 x 4 s\neager", 0.5, 0.6, pytest.approx(1.2)),
        ("forward\n2 x 4 s\ncompile\nL 16", 0.5, 0.4, pytest.approx(0.8)),
    ]
    benchmark.main(["--chart", str(chart), "--results", str(results)])
    with Image.open(chart) as image:
        assert image.format == "PNG" and 800 <= image.width <= 2000 and 500 <= image.height <= 1000
        colours = [colour for _, colour in image.convert("RGB").getcolors(1 << 20)]
        assert (0x1B, 0x6C, 0xA8) in colours and (0xC9, 0xCE, 0xD6) in colours
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chart.png", "results.jsonl"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "nothing in it was timed with a peer"),
        ('{"what": 1}\n', "line 1 is not a result"),
        (result_line("eager", 1, 2) + "{half", "line 2 is not a result"),
        (result_line("eager", 1, 2) + "[]\n", "line 2 is not a result"),
    ],
)
def test_chart_of_bad_results_is_one_line(tmp_path, text, message):
    results, chart = tmp_path / "results.jsonl", tmp_path / "chart.png"
    results.write_text(text)
    with pytest.raises(UserError, match=message) as error:
        benchmark.main(["--chart", str(chart), "--results", str(results)])
    assert str(results) in str(error.value) and "\n" not in str(error.value)
    assert not chart.exists()


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


def test_the_recordings_that_are_separated_are_as_long_as_asked(device, monkeypatch):
    args = parse("", "benchmark", "data", "network", argv=[*TINY[:-2], "--what", "separate", "--seconds", "1.25"])
    found = []
    monkeypatch.setattr(
        workloads,
        "separate_files",
        lambda net, outputs, **_: found.extend(soundfile.info(path).frames for path in outputs),
    )
    work, facts = workloads.separation(args)
    work()
    assert found == [10000, 10000] and facts["parameters"] > 0
