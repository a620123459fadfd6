"""device.py: plain numpy on a CPU, a graph on an accelerator."""

import device

import pytest

from model import ConvTasNet
from network.checkpoint import write_checkpoint
from network.in_numpy import NumpyNetwork
from network.options import NetworkOptions, parameter_count


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.ckpt"
    write_checkpoint(path, ConvTasNet(NetworkOptions(N=12, L=8, B=6, H=8, X=2, R=1), 8000))
    return path


@pytest.mark.parametrize("listed", [[], ["/dev/nvidia0"]])
def test_plain_numpy_where_mindspore_has_the_cpu_alone(checkpoint, monkeypatch, listed):
    monkeypatch.setattr(device.glob, "glob", lambda pattern: listed)
    monkeypatch.setattr(device, "_fuse_operators", lambda: pytest.fail("nothing is compiled"))
    if device.best_device() != "CPU":
        pytest.skip("has an accelerator")
    for target in (None, "CPU"):
        net, name = device.load_to_separate(checkpoint, target)
        assert isinstance(net, NumpyNetwork) and name == "CPU"
        assert parameter_count(net) == parameter_count(ConvTasNet(net.options, 8000))


@pytest.mark.parametrize("target", [None, "Ascend"])
def test_a_graph_on_an_accelerator(checkpoint, monkeypatch, target):
    chosen = []
    monkeypatch.setattr(device, "best_device", lambda: "Ascend")
    monkeypatch.setattr(device, "set_device", lambda *arguments: chosen.append(arguments))
    net, name = device.load_to_separate(checkpoint, target, 3)
    assert isinstance(net, ConvTasNet) and name == "Ascend" and chosen == [("Ascend", 3, None, 0)]
