"""ascend310_infer/: the C++ program gives what the network gives in Python, and takes no bad input for a good one.

On the CPU, by MindSpore Lite 2.0.0. Nothing here ran on an Ascend card.
"""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
import soundfile

import export
import train
from ascend310_infer import join_pieces
from common.audio import read_audio
from data import load_index
from evaluation.evaluator import evaluate
from model import ConvTasNet, load_model
from network.checkpoint import write_checkpoint
from network.options import NetworkOptions

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "ascend310_infer"
SIZES = dict(N=16, L=8, B=8, H=8, X=2, R=1)
NETWORKS = {
    "gLN": dict(),
    "causal": dict(norm_type="cLN", causal=1, mask_nonlinear="sigmoid", padding="none", bias=1),
    "skip": dict(Sc=8, norm_type="BN", C=3, mask_prelu=1, mask_nonlinear="softmax", padding="both"),
}
LENGTH = 803  # samples, not whole hops
CLASSIC = "mindspore-ascend==1.10.0"


@pytest.fixture(scope="session")
def compiler():
    """Skips where nothing can be compiled."""
    cmake = shutil.which("cmake") or shutil.which("cmake", path=Path(sys.executable).parent)
    missing = [name for name, place in {"cmake": cmake, "c++": shutil.which("c++")}.items() if not place]
    if missing:
        pytest.skip(f"needs {' and '.join(missing)}, which this machine has not")


@pytest.fixture(scope="session")
def lite(compiler):
    """The folder of MindSpore Lite."""
    if "MS_LITE_HOME" in os.environ:
        return os.environ["MS_LITE_HOME"]
    result = subprocess.run(["bash", ROOT / "scripts/setup_lite.sh"], capture_output=True, text=True)
    if result.returncode:
        pytest.skip(f"needs MindSpore Lite: {last_line(result.stderr)}")
    return result.stdout.strip()


def build(folder, *options, **environment):
    """Build into a folder, which is returned; the compiler must have nothing to say."""
    result = subprocess.run(
        ["bash", SOURCES / "build.sh", folder, *options],
        capture_output=True, text=True, env=os.environ | environment,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    assert "warning" not in (result.stdout + result.stderr).lower()
    return folder


@pytest.fixture(scope="session")
def program(lite, tmp_path_factory):
    """The folder of main and convert."""
    return build(tmp_path_factory.mktemp("build"), MS_LITE_HOME=lite)


@pytest.fixture(scope="session")
def sanitized(lite, tmp_path_factory):
    """The folder of main and fuzz_samples, that stop at memory errors and undefined behaviour."""
    return build(tmp_path_factory.mktemp("sanitized"), "-DSANITIZE=ON", MS_LITE_HOME=lite)


@pytest.fixture(scope="module")
def exported(device, program, tmp_path_factory):
    """Makes a MindIR file of a network, for MindSpore Lite: gives it and the network."""
    pytest.importorskip("onnxruntime")
    made = {}

    def make(name, batch_size=1):
        if (name, batch_size) not in made:
            folder = tmp_path_factory.mktemp("exported")
            net = ConvTasNet(NetworkOptions(**SIZES, **NETWORKS[name]), 8000, seed=3).set_train(False)
            write_checkpoint(folder / "net.ckpt", net)
            export.export(net, str(folder / "net.onnx"), "ONNX", batch_size, LENGTH, str(folder / "net.ckpt"))
            subprocess.run([program / "convert", folder / "net.onnx", folder / "net"], check=True)
            shutil.copy(folder / "net.onnx.json", folder / "net.mindir.json")
            made[name, batch_size] = folder / "net.mindir", net
        return made[name, batch_size]

    return make


@pytest.fixture(scope="session")
def voices():
    """Speech of two people, 8 kHz: real where ../shared is, else noise in bursts."""
    speech = ROOT.parent / "shared/speech/LibriSpeech"
    speakers = sorted(speech.glob("dev-clean/*")) if speech.is_dir() else []
    if len(speakers) >= 2:
        return [read_audio(str(min(speaker.rglob("*.flac"))), 8000) for speaker in speakers[:2]]
    random = np.random.default_rng(0)
    bursts = np.abs(np.sin(np.arange(40000) / np.array([[900], [1300]]))) ** 3
    return list((0.1 * bursts * random.standard_normal((2, 40000))).astype(np.float32))


def make_test_set(folder, voices, lengths):
    """An index of mixtures of two voices, of these lengths."""
    index = {name: [] for name in ("mix", "s1", "s2")}
    for number, length in enumerate(lengths):
        sources = [np.resize(np.roll(voice, 3000 * number), length) for voice in voices]
        for name, samples in zip(index, [sources[0] + sources[1], *sources], strict=True):
            path = folder / name / f"{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, samples, 8000, subtype="FLOAT")
            index[name].append([str(path), length])
    for name, rows in index.items():
        (folder / f"{name}.json").write_text(json.dumps(rows))
    return folder


@pytest.fixture(scope="module")
def trained(device, voices, tmp_path_factory):
    """A checkpoint of a small network that train.py has trained for a few steps."""
    folder = tmp_path_factory.mktemp("trained")
    data = str(make_test_set(folder / "data", voices, [16000] * 8))
    options = [f"--{name}={value}" for name, value in (SIZES | dict(segment=1, batch_size=2, epochs=2)).items()]
    train.main(["--train_dir", data, "--valid_dir", data, "--save_folder", str(folder / "exp"),
                "--device_target", "CPU", "--lr", "0.01", *options])  # fmt: skip
    return folder / "exp/best.ckpt"


def run_main(program, *arguments, **options):
    return subprocess.run([program / "main", *arguments], capture_output=True, text=True, **options)


def arguments(model, inputs, outputs, device_type="CPU"):
    return ["--model", model, "--input", inputs, "--output", outputs, "--device_type", device_type]


def last_line(text):
    return text.strip().splitlines()[-1]


def assert_equal(found, expected):
    """Sample by sample, within 1e-4 of the largest."""
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


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


def bad_inputs(folder):
    """Files that cannot be separated, by what the program has to say of each."""
    folder.mkdir()
    noise = np.random.default_rng(0).uniform(-1, 1, LENGTH).astype(np.float32)
    messages = {}

    def put(name, message, content):
        messages[name] = message
        path = folder / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            samples, sample_rate, subtype = content
            soundfile.write(path, samples, sample_rate, subtype=subtype, format="WAV")

    put("short.bin", f"{LENGTH - 1} samples, but the model takes 1 x {LENGTH}", noise[:-1].tobytes())
    put("long.bin", f"{LENGTH + 1} samples, but", np.append(noise, 0).astype(np.float32).tobytes())
    put("odd.bin", "not one or more float32 numbers", noise.tobytes()[:-1])
    put("empty.bin", "not one or more float32 numbers", b"")
    put("nan.bin", "NaN", np.where(noise > 0.9, np.nan, noise).astype(np.float32).tobytes())
    put("long.wav", "would overwrite", (noise, 8000, "FLOAT"))
    put("size.wav", "1606 samples, but", (np.tile(noise, 2), 8000, "PCM_16"))
    put("rate.wav", "16000 Hz, but the model is for 8000", (noise, 16000, "PCM_16"))
    put("stereo.wav", "2 channels", (np.stack([noise, noise], 1), 8000, "PCM_16"))
    put("eight.wav", "convert it to 16", (noise, 8000, "PCM_U8"))
    put("inf.wav", "NaN or infinite", (np.full(LENGTH, np.inf, np.float32), 8000, "FLOAT"))
    put("text.wav", "not a RIFF wav file", b"hello")
    put("headless.wav", "no samples", b"RIFF\x00\x00\x00\x00WAVE")
    put("whole.wav", "", (noise, 8000, "PCM_16"))
    whole = (folder / "whole.wav").read_bytes()
    del messages["whole.wav"]
    put("cut.wav", "cut short", whole[:-100])
    (folder / "folder.bin").mkdir()
    messages["folder.bin"] = "cannot be read (Is a directory)"
    noise.tofile(folder / "good.bin")
    return messages


def check_bad_inputs(program, model, folder, **options):
    """All bad files are named with what is wrong, one line each; the good ones are separated all the same."""
    messages = bad_inputs(folder / "in")
    result = run_main(program, *arguments(model, folder / "in", folder / "out"), **options)
    assert result.returncode == 2
    lines = result.stderr.splitlines()
    assert len(lines) == len(messages) + 1
    for name, message in messages.items():
        (line,) = [line for line in lines if line.startswith(f"error: {folder}/in/{name}: ")]
        assert message in line
    total = len(messages) + 2
    assert lines[-1] == f"error: {len(messages)} of {total} files were not separated, for the reasons above"
    written = sorted(path.name for path in (folder / "out").iterdir())
    assert written == ["good_0.bin", "whole_0.bin", "whole_s1.wav", "whole_s2.wav"]
    assert "\n2 files: mean " in result.stdout


def test_bad_files_are_named_and_counted_and_others_done(program, exported, tmp_path):
    check_bad_inputs(program, exported("gLN")[0], tmp_path)


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


@pytest.mark.slow
def test_sanitizers_find_nothing(sanitized, program, exported, tmp_path):
    model, net = exported("gLN")
    # Lite's own libraries leave memory behind when they end; the readers are tried for that too, by fuzz_samples.
    environment = os.environ | {"ASAN_OPTIONS": "detect_leaks=0"}
    check_bad_inputs(sanitized, model, tmp_path, env=environment)
    expected = net(ms.Tensor(np.fromfile(tmp_path / "in/good.bin", np.float32)[np.newaxis])).asnumpy()
    assert_equal(np.fromfile(tmp_path / "out/good_0.bin", np.float32).reshape(expected.shape), expected)


@pytest.mark.slow
def test_fuzzed_files_are_read_or_refused(sanitized):
    result = subprocess.run([sanitized / "fuzz_samples", "5", "1"], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    inputs, wavs, bins = map(int, re.findall(r"\d+", result.stdout))
    assert inputs > 2000 and min(wavs, bins) > 100


@pytest.mark.slow
def test_clang_tidy_is_content(program):
    tool = shutil.which("clang-tidy", path=Path(sys.executable).parent) or shutil.which("clang-tidy")
    if tool is None:
        pytest.skip("needs clang-tidy, of requirements/test.txt")
    command = [tool, "-p", program, "--quiet", *sorted(SOURCES.glob("*.cc"))]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


@pytest.mark.slow
def test_it_compiles_and_links_against_the_classic_library(compiler, tmp_path_factory):
    home = classic_library(tmp_path_factory)
    folder = build(tmp_path_factory.mktemp("classic"), MS_LITE_HOME="", MINDSPORE_HOME=str(home))
    needed = subprocess.run(["readelf", "-d", folder / "main"], capture_output=True, text=True, check=True).stdout
    assert "[libmindspore.so]" in needed


def classic_library(tmp_path_factory):
    """The headers and the library of the Ascend package, kept beside MindSpore Lite."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "conv-tasnet"
    home = cache / CLASSIC.replace("==", "-")
    if not home.is_dir():
        folder = tmp_path_factory.mktemp("wheel")
        result = subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
             "--python-version=3.7", "--platform=manylinux1_x86_64", f"--dest={folder}", CLASSIC],
            capture_output=True, text=True,
        )  # fmt: skip
        if result.returncode:
            pytest.skip(f"needs {CLASSIC}, which pip cannot fetch: {last_line(result.stderr)}")
        subprocess.run([sys.executable, "-m", "zipfile", "--extract", next(folder.glob("*.whl")), folder], check=True)
        cache.mkdir(parents=True, exist_ok=True)
        partial = folder / "part"
        shutil.copytree(folder / "mindspore/include", partial / "include")
        (partial / "lib").mkdir()
        shutil.copy(folder / "mindspore/lib/libmindspore.so", partial / "lib")
        shutil.move(partial, home)
        shutil.rmtree(folder)
    return home


def run_script(folder, *arguments, **environment):
    return subprocess.run(
        ["bash", ROOT / "scripts/run_infer_310.sh", *arguments],
        cwd=folder, capture_output=True, text=True, env=os.environ | {"DEVICE_TARGET": "CPU"} | environment,
    )  # fmt: skip


def average(text):
    """The figure of the last line."""
    return float(re.fullmatch(r"Average SISNR improvement: (-?[\d.]+)", last_line(text))[1])


@pytest.fixture(scope="module")
def trained_onnx(trained, lite):
    pytest.importorskip("onnxruntime")
    path = trained.parent / "net.onnx"
    export.main(["--model_path", str(trained), "--file_name", str(path), "--file_format", "ONNX", "--length", "1",
                 "--device_target", "CPU"])  # fmt: skip
    return path


@pytest.mark.slow
def test_script_gives_what_evaluate_gives_for_the_same_pieces(trained, trained_onnx, lite, voices, tmp_path):
    # Utterances that are one piece each.
    test_set = make_test_set(tmp_path / "data", voices, [8000, 8000, 8000])
    result = run_script(tmp_path, trained_onnx, test_set, "y", "0", MS_LITE_HOME=lite)
    assert result.returncode == 0, result.stderr
    rows = evaluate(load_model(str(trained)), load_index(str(test_set), 8000))
    assert average(result.stdout) == pytest.approx(np.mean([row["si_snr_improvement"] for row in rows]), abs=0.05)
    whole = re.search(r"^Whole utterances, in Python: (-?[\d.]+); the pieces are ([+-][\d.]+) dB", result.stdout, re.M)
    assert float(whole[1]) == pytest.approx(average(result.stdout), abs=0.05)
    assert float(whole[2]) == pytest.approx(0, abs=0.05)
    header, *rows = (tmp_path / "infer_310/results.csv").read_text().splitlines()
    assert len(rows) == 3 and "si_snr_improvement" in header


@pytest.mark.slow
def test_script_joins_pieces_as_python_does(trained, trained_onnx, lite, voices, tmp_path, capfd):
    test_set = make_test_set(tmp_path / "data", voices, [20000, 8000, 12345, 5000])
    result = run_script(tmp_path, trained_onnx, test_set, "y", MS_LITE_HOME=lite)
    assert result.returncode == 0, result.stderr
    pieces, estimates = tmp_path / "infer_310/pieces", tmp_path / "python"
    estimates.mkdir()
    net = load_model(str(trained))
    for path in pieces.glob("*.bin"):
        expected = net(ms.Tensor(np.fromfile(path, np.float32)[np.newaxis])).asnumpy()
        found = np.fromfile(tmp_path / f"infer_310/estimates/{path.stem}_0.bin", np.float32)
        assert_equal(found.reshape(expected.shape), expected)
        expected.tofile(estimates / f"{path.stem}_0.bin")
    join_pieces.main(["--model_file", str(trained_onnx), "--data_dir", str(test_set), "--pieces_dir", str(pieces),
                      "--estimates_dir", str(estimates), "--csv", str(tmp_path / "results.csv"),
                      "--compare_whole", "0"])  # fmt: skip
    assert average(result.stdout) == pytest.approx(average(capfd.readouterr().out), abs=0.05)

    # Without preprocessing the pieces stay, and the earlier estimates are kept.
    again = run_script(tmp_path, trained_onnx, test_set, "n", MS_LITE_HOME=lite)
    assert last_line(again.stdout) == last_line(result.stdout)
    assert (tmp_path / "infer_310/estimates.1").is_dir() and not (tmp_path / "infer_310/pieces.1").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "usage: "),
        (["net.onnx", "data", "maybe"], "usage: "),
        (["net.onnx", "data", "y", "one"], "usage: "),
        (["net.onnx", "data", "y", "0", "more"], "usage: "),
        (["net.onnx", "data", "y"], "error: net.onnx: no such file"),
    ],
)
def test_script_refuses_bad_arguments(tmp_path, arguments, message):
    result = run_script(tmp_path, *arguments)
    assert result.returncode == 2
    assert result.stderr.startswith(message)
    assert not list(tmp_path.iterdir())


def test_script_refuses_another_device(tmp_path):
    result = run_script(tmp_path, "net.onnx", "data", "y", DEVICE_TARGET="GPU")
    assert (result.returncode, result.stderr) == (2, "error: DEVICE_TARGET=GPU: must be Ascend or CPU\n")


def setup_lite(folder, **environment):
    return subprocess.run(["bash", ROOT / "scripts/setup_lite.sh"], capture_output=True, text=True,
                          env=os.environ | {"XDG_CACHE_HOME": str(folder)} | environment)  # fmt: skip


def test_lite_says_when_it_cannot_be_fetched(tmp_path):
    result = setup_lite(tmp_path, PYTHON="false")
    assert (result.returncode, result.stdout) == (2, "")
    assert last_line(result.stderr).startswith("error: MindSpore Lite: pip cannot fetch 2.0.0")
    assert not list((tmp_path / "conv-tasnet").iterdir())


def test_lite_says_when_there_is_none_for_the_machine(tmp_path):
    (tmp_path / "uname").write_text("#!/bin/sh\necho Linux aarch64\n")
    (tmp_path / "uname").chmod(0o755)
    result = setup_lite(tmp_path, PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert (result.returncode, result.stdout) == (2, "")
    assert "no package of 2.0.0 for Linux aarch64" in result.stderr
