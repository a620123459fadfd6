"""network/precision.py: which products are halved. The CPU has none of its own: float64 stands in for it.

tests/network/test_precision_on_cpu.py has what a CPU does instead.
"""

import mindspore as ms
import numpy as np
import pytest
from mindspore import ops

from common.errors import UserError
from model import ConvTasNet
from network import precision
from network.options import NetworkOptions
from network.precision import HalfProduct, halve_products, loss_scaler, set_precision
from network_define import NetWithLoss

OPTIONS = NetworkOptions(N=12, L=8, B=6, H=8, X=2, R=1, Sc=5, bias=1)


def products(net):
    """Where the halved products are."""
    return {name.split(".")[0] for name, cell in net.cells_and_names() if isinstance(cell, HalfProduct)}


def loss_and_gradients(net):
    sources = np.random.default_rng(0).standard_normal((2, 2, 300)).astype(np.float32)
    batch = ms.Tensor(sources.sum(1)), ms.Tensor([300, 250], ms.int32), ms.Tensor(sources)
    loss, gradients = ops.value_and_grad(NetWithLoss(net), None, net.trainable_params())(*batch)
    assert all(tensor.dtype == ms.float32 for tensor in (loss, *gradients))
    return [tensor.asnumpy() for tensor in (loss, *gradients)]


@pytest.fixture(scope="module")
def whole(device):
    """Loss and gradients of the network before anything in it is halved."""
    return loss_and_gradients(ConvTasNet(OPTIONS, 8000))


@pytest.mark.parametrize("level, expected", [("O2", {"separator"}), ("O3", {"encoder", "separator", "decoder"})])
def test_loss_and_gradients_stay_the_same_and_in_float32(whole, level, expected):
    net = ConvTasNet(OPTIONS, 8000)
    halve_products(net, level, ms.float64)
    assert products(net) == expected
    for one, other in zip(whole, loss_and_gradients(net), strict=True):
        np.testing.assert_allclose(other, one, atol=2e-5 * max(np.abs(one).max(), 1))


@pytest.mark.parametrize("level", ["O2", "O3"])
def test_device_without_half_precision(device, level):
    net = ConvTasNet(OPTIONS, 8000)
    with pytest.raises(UserError, match=f"^--amp_level {level}: MindSpore's CPU has no matrix products in float16"):
        set_precision(net, level, "float16", "CPU")
    assert not products(net)
    set_precision(net, "O0", "float16", "CPU")
    assert not products(net)


def test_other_devices_get_it(device):
    net = ConvTasNet(OPTIONS, 8000)
    set_precision(net, "O2", "bfloat16", "Ascend")
    assert {cell.half for _, cell in net.cells_and_names() if isinstance(cell, HalfProduct)} == {ms.bfloat16}


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_it_is_refused_on_a_card_that_shows_no_overflow(monkeypatch, device, half):
    monkeypatch.setattr(precision, "is_910a", lambda: True)
    net = ConvTasNet(OPTIONS, 8000)
    set_precision(net, "O0", half, "Ascend")
    with pytest.raises(UserError, match=f"^--amp_level O2: an Ascend 910A shows no overflow of {half}"):
        set_precision(net, "O2", half, "Ascend")
    assert not products(net)


def test_only_float16_needs_a_loss_scale():
    assert loss_scaler("O0", "float16") is None
    assert loss_scaler("O2", "bfloat16") is None
    assert float(loss_scaler("O3", "float16").scale_value.asnumpy()) == 65536
