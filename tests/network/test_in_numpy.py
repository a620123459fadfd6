"""network/in_numpy.py: plain numpy gives what model.py's graph gives, for every option, length and number of parts."""

import subprocess
import sys

import mindspore as ms
import numpy as np
import pytest
from conftest import ROOT
from test_model import (
    network,
    pynative,  # noqa: F401, a fixture for all tests here: many shapes would be compiled
)

from common.errors import UserError
from model import ConvTasNet
from network import numpy_layers
from network.checkpoint import write_checkpoint
from network.in_numpy import NumpyNetwork, load_in_numpy
from network.options import NetworkOptions

OPTIONS = [
    dict(norm_type="gLN"),
    dict(norm_type="gLN", Sc=5, bias=1, mask_prelu=1, X=4),
    dict(norm_type="gLN", C=3, mask_nonlinear="softmax", padding="both", P=5),
    dict(norm_type="gLN", input_norm="cLN", encoder_relu=0, mask_nonlinear="sigmoid", padding="none"),
    dict(norm_type="cLN", bias=1),
    dict(norm_type="cgLN", Sc=4),
    dict(norm_type="BN", input_norm="gLN", bias=1),
    dict(norm_type="cLN", causal=1, P=2),
    dict(norm_type="cgLN", causal=1, Sc=5, bias=1),
    dict(norm_type="BN", causal=1, input_norm="cLN"),
]


def expected(net, mixture):
    return net(ms.Tensor(mixture[np.newaxis])).asnumpy()[0]


def noise(samples, level=1.0):
    return (level * np.random.default_rng(samples).standard_normal(samples)).astype(np.float32)


def require_equal(found, wanted):
    assert (found.shape, found.dtype) == (wanted.shape, np.float32)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * max(np.abs(wanted).max(), 1e-3))


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(map(str, options.values())))
def test_what_the_graph_gives(options, monkeypatch):
    net = network(**options)
    monkeypatch.setattr(numpy_layers, "FRAMES_AT_ONCE", 32)  # so that there are many parts, and dilations across them
    mixture = noise(4 * 170 + 3)
    require_equal(NumpyNetwork.of(net)(mixture), expected(net, mixture))


@pytest.mark.parametrize("samples", [*range(1, 18), 31, 32, 33, 127, 128, 129])
@pytest.mark.parametrize("padding", ["tail", "none", "both"])
def test_any_length(padding, samples):
    net = network(norm_type="gLN", padding=padding, X=4)
    mixture = noise(samples)
    require_equal(NumpyNetwork.of(net)(mixture), expected(net, mixture))


@pytest.mark.parametrize("level", [0, 1e-6, 1e-2, 30])
@pytest.mark.parametrize("norm_type", ["gLN", "cLN", "cgLN"])
def test_any_level(norm_type, level):
    net = network(norm_type=norm_type)
    mixture = noise(999, level) + np.float32(level)  # an offset as well
    require_equal(NumpyNetwork.of(net)(mixture), expected(net, mixture))


def test_slopes_above_one_and_gains_of_zero():
    net = network(norm_type="gLN")
    for name, parameter in net.parameters_and_names():
        if name.endswith("slope"):
            parameter.set_data(ms.Tensor([1.5], ms.float32))
        if name.endswith("norm_in.gain"):
            parameter.set_data(ms.Tensor(np.zeros(parameter.shape), ms.float32))
    mixture = noise(500)
    require_equal(NumpyNetwork.of(net)(mixture), expected(net, mixture))


def test_again_and_whatever_was_separated_before():
    separate, mixture = NumpyNetwork.of(network(norm_type="cgLN", causal=1)), noise(3000)
    first = separate(mixture)
    separate(noise(500))
    np.testing.assert_array_equal(separate(mixture), first)


@pytest.mark.parametrize("offset", [0, 3, 40])
def test_statistics_of_many_frames_lose_no_digits(offset):
    x = np.random.default_rng(0).standard_normal((200_000, 8), np.float32) + np.float32(offset)
    norm = numpy_layers.GlobalNorm({"gain": np.ones(8, np.float32), "bias": np.zeros(8, np.float32)})
    y, gain, shift = norm.of_whole(x)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(gain, 1 / wide.std(), rtol=1e-6)
    np.testing.assert_allclose(shift, -wide.mean() / wide.std(), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(y, x)


def test_a_checkpoint_is_read_without_mindspore(tmp_path):
    net = ConvTasNet(NetworkOptions(N=12, L=8, B=6, H=8, X=2, R=2), 8000, seed=3)
    write_checkpoint(tmp_path / "net.ckpt", net)
    mixture = noise(300)
    require_equal(load_in_numpy(tmp_path / "net.ckpt")(mixture), expected(net, mixture))
    code = (
        "import sys\nfrom network.in_numpy import load_in_numpy\n"
        "load_in_numpy(sys.argv[1])\nprint('mindspore' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "net.ckpt"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_a_missing_checkpoint_is_a_line(tmp_path):
    with pytest.raises(UserError, match="no such checkpoint"):
        load_in_numpy(tmp_path / "net.ckpt")
