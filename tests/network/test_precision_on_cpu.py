"""network/precision.py on a CPU: products in bfloat16 where it has AMX, in processes of their own; elsewhere a line."""

import os
import subprocess
import sys

import device

import numpy as np
import pytest
from conftest import ROOT
from small_training import history, write_set

from common.errors import UserError
from common.processor import processor_can
from model import ConvTasNet
from network import precision
from network.checkpoint import read_checkpoint, write_checkpoint
from network.in_numpy import NumpyNetwork
from network.options import NetworkOptions

NEEDS_AMX = pytest.mark.skipif(not processor_can("amx_bf16"), reason="needs a processor with AMX")
BFLOAT16 = ["--amp_level", "O2", "--amp_type", "bfloat16"]
VARIABLE = "ONEDNN_DEFAULT_FPMATH_MODE"
# Of this size and more oneDNN has products in bfloat16; smaller ones stay in float32.
NETWORK = NetworkOptions(N=64, L=16, B=64, H=128, X=2, R=1)

COMPUTE = """
import sys
from device import set_device
import mindspore as ms
import numpy as np
from mindspore import ops
from model import ConvTasNet
from network.options import NetworkOptions
from network.precision import set_precision
from network_define import NetWithLoss

level, what, path = sys.argv[1:]
device = set_device("CPU")
net = ConvTasNet(NetworkOptions(N=64, L=16, B=64, H=128, X=2, R=1), 8000)
set_precision(net, level, "bfloat16", device)
random = np.random.default_rng(0)
if what == "product":
    ms.set_context(mode=ms.PYNATIVE_MODE)
    a, b = (random.standard_normal(shape, np.float32) for shape in ((1000, 256), (256, 512)))
    found = [ops.MatMul()(ms.Tensor(a), ms.Tensor(b)), a @ b]
else:
    sources = random.standard_normal((2, 2, 8000)).astype(np.float32)
    batch = ms.Tensor(sources.sum(1)), ms.Tensor([8000, 7000], ms.int32), ms.Tensor(sources)
    loss, gradients = ops.value_and_grad(NetWithLoss(net), None, net.trainable_params())(*batch)
    found = [loss, *gradients]
np.savez(path, *[np.asarray(each.asnumpy() if isinstance(each, ms.Tensor) else each) for each in found])
"""


def compute(folder, level, what):
    """The arrays of COMPUTE."""
    path = folder / f"{level}_{what}.npz"
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE} | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", COMPUTE, level, what, path], cwd=folder, env=environment, check=True)
    with np.load(path) as arrays:
        return list(arrays.values())


def distance(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


@NEEDS_AMX
@pytest.mark.parametrize(("level", "least", "most"), [("O0", 0, 1e-6), ("O2", 1e-3, 5e-3)])
def test_a_product_is_rounded_to_bfloat16_where_that_is_asked_for(tmp_path, level, least, most):
    found, expected = compute(tmp_path, level, "product")
    assert found.dtype == np.float32 and least <= distance(found, expected) < most


@NEEDS_AMX
@pytest.mark.slow
def test_loss_and_gradients_are_close_to_those_in_float32(tmp_path):
    (loss, *gradients), (half_loss, *half_gradients) = (compute(tmp_path, level, "step") for level in ("O0", "O2"))
    assert abs(half_loss - loss) < 0.05  # dB
    whole, half = (np.concatenate([each.ravel() for each in every]) for every in (gradients, half_gradients))
    assert 1e-3 < distance(half, whole) < 4e-2
    for found, expected in zip(half_gradients, gradients, strict=True):  # a slope's may be all but zero
        assert np.linalg.norm(found - expected) < 6e-2 * np.linalg.norm(expected) + 1e-3 * np.linalg.norm(whole)


@NEEDS_AMX
@pytest.mark.slow
def test_a_run_that_goes_on_equals_one_that_was_not_stopped(tmp_path):
    def train(folder, epochs):
        sizes = [f"--{name}={getattr(NETWORK, name)}" for name in ("N", "L", "B", "H", "X", "R")]
        folders = ["--train_dir", tmp_path, "--valid_dir", tmp_path, "--save_folder", tmp_path / folder]
        options = [*sizes, "--segment", "0.25", "--device_target", "CPU", "--epochs", epochs, *BFLOAT16]
        command = [sys.executable, ROOT / "train.py", *folders, *options]
        subprocess.run([*map(str, command)], check=True, capture_output=True)

    write_set(tmp_path)
    train("whole", 2)
    train("stopped", 1)
    train("stopped", 2)
    whole, stopped = (read_checkpoint(tmp_path / folder / "last.ckpt").parameters for folder in ("whole", "stopped"))
    assert whole.keys() == stopped.keys()
    assert all(np.array_equal(whole[name], stopped[name]) for name in whole)
    losses = [[epoch["valid_loss"] for epoch in history(tmp_path / folder)] for folder in ("whole", "stopped")]
    assert losses[0] == losses[1]
    config = (tmp_path / "whole" / "config.yaml").read_text()
    assert "amp_level: O2\n" in config and "amp_type: bfloat16\n" in config


def test_without_amx_a_line_says_that_all_stays_in_float32(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(VARIABLE, "STRICT")
    monkeypatch.setattr(precision, "processor_can", lambda flag: False)
    assert not precision.halves_on_cpu("O2", "bfloat16")
    assert os.environ[VARIABLE] == "STRICT"
    line = "--amp_type bfloat16: this processor has no AMX to multiply in it; all stays in float32\n"
    assert capsys.readouterr().err == line
    write_checkpoint(tmp_path / "net.ckpt", ConvTasNet(NETWORK, 8000))
    net, name = device.load_to_separate(tmp_path / "net.ckpt", "CPU", None, "O2", "bfloat16")
    assert isinstance(net, NumpyNetwork) and name == "CPU"
    assert capsys.readouterr().err == line


@pytest.mark.parametrize("level", ["O2", "O3"])
def test_with_amx_onednn_is_asked_for_it(tmp_path, monkeypatch, capsys, level):
    monkeypatch.setenv(VARIABLE, "STRICT")  # which the test's end brings back
    monkeypatch.setattr(precision, "processor_can", lambda flag: flag == "amx_bf16")
    write_checkpoint(tmp_path / "net.ckpt", ConvTasNet(NETWORK, 8000))
    net, name = device.load_to_separate(tmp_path / "net.ckpt", "CPU", None, level, "bfloat16")
    assert isinstance(net, ConvTasNet) and name == "CPU in bfloat16"
    assert (os.environ[VARIABLE], capsys.readouterr().err) == ("BF16", "")


def test_a_cpu_has_no_float16(tmp_path):
    write_checkpoint(tmp_path / "net.ckpt", ConvTasNet(NETWORK, 8000))
    with pytest.raises(UserError, match=r"^--amp_level O2: .* has no .* in float16; take --amp_type bfloat16"):
        device.load_to_separate(tmp_path / "net.ckpt", "CPU", None, "O2", "float16")
