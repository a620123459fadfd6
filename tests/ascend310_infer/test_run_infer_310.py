"""scripts/run_infer_310.sh: from a test set to the figure that evaluate.py gives, through the C++ program."""

import json
import os
import re
import subprocess

import mindspore as ms
import numpy as np
import pytest
import soundfile
from conftest import ROOT
from cpp_program import SIZES, assert_equal, last_line

import export
import train
from ascend310_infer import join_pieces
from common.audio import read_audio
from corpus.loading import load_index
from evaluation.evaluator import evaluate
from model import load_model


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


@pytest.fixture(scope="module")
def trained_onnx(trained, lite):
    pytest.importorskip("onnxruntime")
    path = trained.parent / "net.onnx"
    export.main(["--model_path", str(trained), "--file_name", str(path), "--file_format", "ONNX", "--length", "1",
                 "--device_target", "CPU"])  # fmt: skip
    return path


def run_script(folder, *arguments, **environment):
    return subprocess.run(
        ["bash", ROOT / "scripts/run_infer_310.sh", *arguments],
        cwd=folder, capture_output=True, text=True, env=os.environ | {"DEVICE_TARGET": "CPU"} | environment,
    )  # fmt: skip


def average(text):
    """The figure of the last line."""
    return float(re.fullmatch(r"Average SISNR improvement: (-?[\d.]+)", last_line(text))[1])


@pytest.mark.slow
def test_script_gives_what_evaluate_gives_for_the_same_pieces(trained, trained_onnx, lite, voices, tmp_path):
    # Mixtures that are one piece each.
    test_set = make_test_set(tmp_path / "data", voices, [8000, 8000, 8000])
    result = run_script(tmp_path, trained_onnx, test_set, "y", "0", MS_LITE_HOME=lite)
    assert result.returncode == 0, result.stderr
    rows = evaluate(load_model(str(trained)), load_index(str(test_set), 8000))
    assert average(result.stdout) == pytest.approx(np.mean([row["si_snr_improvement"] for row in rows]), abs=0.05)
    whole = re.search(r"^Whole mixtures, in Python: (-?[\d.]+); the pieces are ([+-][\d.]+) dB", result.stdout, re.M)
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
