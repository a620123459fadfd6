"""ascend310_infer/: the C++ program gives what the network gives in Python, and refuses bad options in one line.

On the CPU, by MindSpore Lite 2.0.0. Nothing here ran on an Ascend card.
"""

import re
import resource
import shutil
import signal
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
import soundfile
from cpp_program import LENGTH, arguments, assert_equal, run_main


@pytest.mark.slow
@pytest.mark.parametrize("name, batch_size", [("gLN", 1), ("gLN", 2), ("causal", 1), ("skip", 1)])
def test_main_gives_what_the_network_gives(program, exported, tmp_path, name, batch_size):
    model, net = exported(name, batch_size)
    inputs, outputs = tmp_path / "in puts", tmp_path / "out/put"
    inputs.mkdir()
    random = np.random.default_rng(0)
    mixtures = {stem: random.standard_normal((batch_size, LENGTH)).astype(np.float32) for stem in ("a", "b.c")}
    for stem, mixture in mixtures.items():
        mixture.tofile(inputs / f"{stem}.bin")
    result = run_main(program, *arguments(model, inputs, outputs))
    assert (result.returncode, result.stderr) == (0, "")
    for stem, mixture in mixtures.items():
        expected = net(ms.Tensor(mixture)).asnumpy()
        assert_equal(np.fromfile(outputs / f"{stem}_0.bin", np.float32).reshape(expected.shape), expected)
    assert sorted(path.name for path in outputs.iterdir()) == ["a_0.bin", "b.c_0.bin"]
    assert f"{batch_size} x {LENGTH} samples at 8000 Hz" in result.stdout
    assert re.search(r"^a\.bin: [\d.]+ ms$", result.stdout, re.MULTILINE)
    mean, rate, factor = map(float, re.search(
        r"^2 files: mean ([\d.]+) ms a file, ([\d.]+) mixtures a second, real-time factor ([\d.]+) ", result.stdout,
        re.MULTILINE,
    ).groups())  # fmt: skip
    times = [float(time) for time in re.findall(r"bin: ([\d.]+) ms", result.stdout)]
    assert mean == pytest.approx(np.mean(times), abs=0.11)
    assert factor * rate == pytest.approx(8000 / LENGTH, rel=0.2, abs=0.2)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT"])
@pytest.mark.parametrize("container", ["WAV", "WAVEX"])
def test_wav_files_are_read_and_written(program, exported, tmp_path, subtype, container):
    model, net = exported("gLN")
    samples = 0.3 * np.sin(np.arange(LENGTH) / 5)
    soundfile.write(tmp_path / "a.wav", samples, 8000, subtype=subtype, format=container)
    result = run_main(program, *arguments(model, tmp_path, tmp_path / "out"))
    assert (result.returncode, result.stderr) == (0, "")
    mixture = soundfile.read(tmp_path / "a.wav", dtype="float32")[0]
    expected = net(ms.Tensor(mixture[np.newaxis])).asnumpy()[0]
    assert_equal(np.fromfile(tmp_path / "out/a_0.bin", np.float32).reshape(expected.shape), expected)
    for speaker, estimate in enumerate(expected, start=1):
        path = tmp_path / f"out/a_s{speaker}.wav"
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (8000, 1, "FLOAT")
        assert_equal(soundfile.read(path)[0], estimate)


def test_wav_files_are_not_for_batches(program, exported, tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(2 * LENGTH), 8000)
    result = run_main(program, *arguments(exported("gLN", 2)[0], tmp_path, tmp_path / "out"))
    assert result.returncode == 2
    assert result.stderr.startswith(f"error: {tmp_path}/a.wav: the model takes batches of 2; ")


@pytest.fixture
def good(exported, tmp_path):
    """The right arguments by their names, with one input file."""
    (tmp_path / "in").mkdir()
    np.zeros(LENGTH, np.float32).tofile(tmp_path / "in/a.bin")
    model = shutil.copy(exported("gLN")[0], tmp_path / "net.mindir")
    shutil.copy(f"{exported('gLN')[0]}.json", tmp_path / "net.mindir.json")
    return {"--model": model, "--input": tmp_path / "in", "--output": tmp_path / "out", "--device_type": "CPU"}


def one_line(program, options):
    """The one line that the program refuses these options with."""
    result = run_main(program, *[str(item) for pair in options.items() for item in pair if item is not None])
    assert (result.returncode, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    return line


@pytest.mark.parametrize(
    "option, value, message",
    [
        ("--model", "no.mindir", "--model no.mindir: no such file"),
        ("--input", "no", "--input no: cannot be read (No such file"),
        ("--output", "/dev/null/out", "--output /dev/null/out: cannot be made ("),
        ("--device_type", "TPU", "--device_type TPU: choose from Ascend, CPU"),
        ("--device_type", "Ascend", "cannot run it on Ascend 0 ("),
        ("--device_type", "", "--device_type: must be given"),
        ("--device_id", "-1", "--device_id -1: must be a whole number"),
        ("--device_id", "99999999999", "--device_id 99999999999: must be"),
        ("--device_id", None, "--device_id: its value is missing"),
        ("--speed", "9", "--speed: no such option"),
    ],
)
def test_bad_option_is_one_line(program, good, option, value, message):
    assert message in one_line(program, good | {option: value})
    assert not good["--output"].exists()


def test_bad_model_is_one_line(program, good):
    model = good["--model"]
    for content in (b"", b"nonsense", model.read_bytes()[:5000]):
        model.chmod(0o600)
        model.write_bytes(content)
        assert f"{model}: this MindSpore cannot run it on CPU 0 (" in one_line(program, good)


@pytest.mark.parametrize("content", ["", "{}", '{"sample_rate": 0.5}', '{"sample_rate": "fast"}', '{"sample_rate":'])
def test_bad_json_is_one_line(program, good, content):
    description = Path(f"{good['--model']}.json")
    description.write_text(content)
    assert f"{description}: " in one_line(program, good)
    description.unlink()
    assert f"{description}: cannot be read (No such file" in one_line(program, good)


def test_empty_folder_is_one_line(program, good):
    (good["--input"] / "a.bin").rename(good["--input"] / "a.txt")
    assert f"--input {good['--input']}: has no .bin or .wav files" in one_line(program, good)


def test_full_disk_leaves_no_file(program, good):
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write past the limit fails then as on a full disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    options = [str(item) for pair in good.items() for item in pair]
    result = run_main(program, *options, preexec_fn=limit, restore_signals=False)
    assert result.returncode == 2
    assert f"{good['--output']}/a_0.bin: cannot be written (File too large)" in result.stderr
    assert not list(good["--output"].iterdir())


def test_help_tells_every_option(program):
    result = run_main(program, "--help")
    assert result.returncode == 0
    for option in ("--model", "--input", "--output", "--device_type", "--device_id"):
        assert option in result.stdout
