"""export.py: what it writes gives what the network gives, and nothing else is left behind."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import mindspore as ms
import numpy as np
import pytest

import export as script
from common.errors import UserError
from model import ConvTasNet, load_model
from network.checkpoint import write_checkpoint
from network.options import NetworkOptions

ROOT = Path(__file__).parent.parent
SIZES = dict(N=16, L=8, B=8, H=8, X=2, R=1)
NETWORKS = {
    "gLN": dict(),
    "cgLN": dict(norm_type="cgLN", causal=1, mask_nonlinear="sigmoid", padding="none"),
    "skip": dict(Sc=8, norm_type="BN", C=3, bias=1, mask_prelu=1, mask_nonlinear="softmax", padding="both"),
}


@pytest.fixture(scope="module")
def checkpoints(device, tmp_path_factory):
    """A checkpoint of each network, by its name."""
    folder = tmp_path_factory.mktemp("models")
    for name, options in NETWORKS.items():
        write_checkpoint(folder / f"{name}.ckpt", ConvTasNet(NetworkOptions(**SIZES, **options), 8000))
    return {name: str(folder / f"{name}.ckpt") for name in NETWORKS}


def arguments(model_path, file_name, *more):
    return ["--model_path", model_path, "--file_name", str(file_name), "--device_target", "CPU", *more]


def refused(argv):
    """The one line that the script refuses these arguments with."""
    with pytest.raises(UserError) as error:
        script.main(argv)
    assert "\n" not in str(error.value)
    return str(error.value)


def noise(*shape):
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_mindir_gives_what_the_network_gives(checkpoints, name, tmp_path, capfd):
    path = tmp_path / "net.mindir"
    script.main(arguments(checkpoints[name], path, "--length", "0.1", "--batch_size", "2"))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["net.mindir", "net.mindir.json"]
    line = capfd.readouterr().out.strip().splitlines()[-1]
    assert str(path) in line
    assert f"{path.stat().st_size / 1e6:.2f} MB" in line
    mixture = noise(2, 800)
    expected = load_model(checkpoints[name])(ms.Tensor(mixture)).asnumpy()
    np.testing.assert_allclose(script.load_mindir(str(path))(mixture), expected, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_mindir_of_any_length_gives_what_the_network_gives(checkpoints, name, tmp_path, capfd):
    script.main(arguments(checkpoints[name], tmp_path / "net", "--length", "any"))
    assert "[1, any length]" in capfd.readouterr().out
    assert json.loads((tmp_path / "net.mindir.json").read_text())["length"] is None
    net, compute = load_model(checkpoints[name]), script.load_mindir(str(tmp_path / "net.mindir"))
    for length in (1, 7, 803):
        expected = net(ms.Tensor(noise(1, length))).asnumpy()
        np.testing.assert_allclose(compute(noise(1, length)), expected, atol=1e-6)


def test_onnx_gives_what_the_network_gives(checkpoints, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    script.main(arguments(checkpoints["gLN"], tmp_path / "net", "--length", "800samples", "--file_format", "ONNX"))
    mixture = noise(1, 800)
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    (found,) = session.run(None, {"mixture": mixture})
    np.testing.assert_allclose(found, load_model(checkpoints["gLN"])(ms.Tensor(mixture)).asnumpy(), atol=1e-5)


def test_json_beside_the_file_tells_what_it_is(checkpoints, tmp_path):
    pytest.importorskip("onnxruntime")
    script.main(arguments(checkpoints["gLN"], tmp_path / "net", "--length", "0.1", "--file_format", "ONNX"))
    facts = json.loads((tmp_path / "net.onnx.json").read_text())
    assert facts.pop("sha256") == hashlib.sha256((tmp_path / "net.onnx").read_bytes()).hexdigest()
    assert facts.pop("checkpoint_sha256") == hashlib.sha256(Path(checkpoints["gLN"]).read_bytes()).hexdigest()
    assert (tmp_path / facts.pop("checkpoint")).resolve() == Path(checkpoints["gLN"]).resolve()
    assert NetworkOptions(**facts.pop("network")) == NetworkOptions(**SIZES)
    assert facts == {"format": "ONNX", "batch_size": 1, "length": 800, "sample_rate": 8000, "speakers": 2}


@pytest.mark.skipif(not hasattr(ms, "onnx"), reason="this MindSpore writes no ONNX")
def test_what_onnx_cannot_express_is_one_line(checkpoints, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "require_onnxruntime", lambda: None)
    message = refused(arguments(checkpoints["cgLN"], tmp_path / "net", "--length", "0.1", "--file_format", "ONNX"))
    assert "net.onnx: cannot be written as ONNX (" in message
    assert not list(tmp_path.iterdir())


def test_onnx_without_its_runtime_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    message = refused(arguments("any.ckpt", tmp_path / "net", "--file_format", "ONNX"))
    assert "pip install onnxruntime" in message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", [lambda x: x + 1e-3, lambda x: x * np.nan, lambda x: x[..., :-1]])
def test_a_file_that_differs_is_not_kept(tmp_path, monkeypatch, damage):
    monkeypatch.setitem(
        script.FORMATS,
        "MINDIR",
        (lambda net, path, mixture: Path(path).touch(), lambda path: lambda mixture: damage(ONES)),
    )
    monkeypatch.setattr(script, "load_model", lambda path: SimpleNamespace(sample_rate=8000))
    monkeypatch.setattr(script, "computation", lambda net, device: lambda mixture: ONES)
    (tmp_path / "net.mindir").write_text("an earlier one")
    assert "net.mindir: " in refused(arguments("any.ckpt", tmp_path / "net", "--length", "0.1"))
    assert [file.name for file in tmp_path.iterdir()] == ["net.mindir"]
    assert (tmp_path / "net.mindir").read_text() == "an earlier one"


ONES = np.ones((1, 2, 800), np.float32)


def test_file_is_checked_without_compiling_the_network_again(checkpoints, tmp_path, monkeypatch):
    """On the CPU, where numpy gives what the file must; elsewhere the network's own graph does."""
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(ConvTasNet, "__call__", lambda *_: pytest.fail("compiles the network"))
    script.main(arguments(checkpoints["skip"], tmp_path / "net", "--length", "0.1", "--file_format", "ONNX"))
    assert (tmp_path / "net.onnx").exists()


@pytest.mark.parametrize("name", NETWORKS)
def test_what_files_are_held_to_is_the_same_in_numpy_and_in_the_graph(checkpoints, name, pynative):
    net = load_model(checkpoints[name])
    found, expected = (script.computation(net, device)(noise(2, 800)) for device in ("CPU", "Ascend"))
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max(), rtol=0)


def test_any_length_is_for_mindir(checkpoints, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "require_onnxruntime", lambda: None)
    message = refused(arguments(checkpoints["gLN"], tmp_path / "net", "--length", "any", "--file_format", "ONNX"))
    assert message.startswith("--length any: ") and "--file_format MINDIR" in message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "length, samples", [("4", 32000), ("0.5", 4000), (".5", 4000), ("1234samples", 1234), ("any", None)]
)
def test_length_is_seconds_samples_or_any(length, samples):
    assert script.parse_length(length, 8000) == samples


def test_difference_is_relative_to_the_largest_sample():
    expected = np.array([[0.0, -4.0, 2.0]])
    assert script.relative_difference(expected + np.array([[0.0, 0.2, -0.4]]), expected) == pytest.approx(0.1)
    assert script.relative_difference(np.zeros((1, 3)), np.zeros((1, 3))) == 0


@pytest.mark.parametrize("name", ["missing/net", "", "folder", "folder/"])
def test_bad_file_name_is_refused(tmp_path, name, monkeypatch):
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    assert refused(arguments("any.ckpt", name)).startswith(f"--file_name {name}: ")


@pytest.mark.parametrize(
    "option",
    [
        ("--length", "0"),
        ("--length", "nan"),
        ("--length", "0.00001"),
        ("--length=-1",),
        ("--length", "0samples"),
        ("--length", "1.5samples"),
        ("--length", "4 s"),
        ("--batch_size", "0"),
    ],
)
def test_bad_size_is_refused(checkpoints, tmp_path, option):
    assert refused(arguments(checkpoints["gLN"], tmp_path / "net", *option)).startswith(option[0].split("=")[0])
    assert not list(tmp_path.iterdir())


def test_command_line_says_one_line(tmp_path):
    command = [sys.executable, str(ROOT / "export.py"), *arguments(str(tmp_path / "no.ckpt"), tmp_path / "net")]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 2
    errors = [line for line in result.stderr.splitlines() if not line.startswith("[WARNING]")]
    assert errors == [f"error: {tmp_path}/no.ckpt: no such checkpoint"]
