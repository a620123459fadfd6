"""network_define.py: clipping, optimisers, and a step that teaches the network something."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import ops

from config import NetworkOptions
from model import ConvTasNet
from network_define import NetWithLoss, TrainingStep, make_optimizer

SIZES = dict(N=12, L=8, B=6, H=8, X=2, R=1)


@pytest.fixture
def pynative(device):
    ms.set_context(mode=ms.PYNATIVE_MODE)
    yield
    ms.set_context(mode=ms.GRAPH_MODE)


def batch(M=2, T=400):
    sources = np.random.default_rng(0).standard_normal((M, 2, T)).astype(np.float32)
    sources[:, 0] = np.cumsum(sources[:, 0], 1) / 5  # low against all frequencies
    return ms.Tensor(sources.sum(1)), ms.Tensor(np.full(M, T), ms.int32), ms.Tensor(sources)


def values(net):
    return [parameter.asnumpy().copy() for parameter in net.trainable_params()]


def norm(arrays):
    return np.sqrt(sum(np.sum(array.astype(np.float64) ** 2) for array in arrays))


@pytest.mark.parametrize("part", [0.5, 2.0, 0.0])
def test_whole_gradient_is_clipped_to_max_norm(pynative, part):
    """With SGD at rate 1 the weights move by the gradient that is used; `max_norm` is a part of the true one's norm."""
    net = ConvTasNet(NetworkOptions(**SIZES), 8000)
    net_with_loss = NetWithLoss(net)
    gradients = ops.grad(net_with_loss, None, net.trainable_params())(*batch())
    gradients = [gradient.asnumpy() for gradient in gradients]
    before = values(net)
    TrainingStep(net_with_loss, make_optimizer(net.trainable_params(), "sgd", 1.0), part * norm(gradients))(*batch())
    moved = [old - new for old, new in zip(before, values(net), strict=True)]
    scale = part if part == 0.5 else 1.0
    for step, gradient in zip(moved, gradients, strict=True):
        np.testing.assert_allclose(step, scale * gradient, atol=1e-5 * max(norm(gradients), 1))
    assert norm(moved) == pytest.approx(scale * norm(gradients), rel=1e-3)


def test_momentum_and_weight_decay_of_sgd(pynative):
    weight = ms.Parameter(ms.Tensor([2.0], ms.float32), name="weight")
    optimizer = make_optimizer([weight], "sgd", 0.1, l2=0.5, momentum=0.9)
    expected, velocity = 2.0, 0.0
    for gradient in (1.0, 3.0):
        optimizer((ms.Tensor([gradient], ms.float32),))
        velocity = 0.9 * velocity + gradient + 0.5 * expected
        expected -= 0.1 * velocity
        assert weight.asnumpy() == pytest.approx([expected], rel=1e-5)


def test_adam_moves_by_its_rate_first(pynative):
    weight = ms.Parameter(ms.Tensor([2.0, 2.0], ms.float32), name="weight")
    make_optimizer([weight], "adam", 0.01)((ms.Tensor([5.0, -0.1], ms.float32),))
    np.testing.assert_allclose(weight.asnumpy(), [1.99, 2.01], atol=1e-5)


def test_every_parameter_is_trained(pynative):
    """In a network with every optional part."""
    net = ConvTasNet(NetworkOptions(**SIZES, Sc=5, bias=1, mask_prelu=1, norm_type="BN"), 8000)
    parameters = net.trainable_params()
    gradients = ops.grad(NetWithLoss(net).set_train(), None, parameters)(*batch())
    for parameter, gradient in zip(parameters, gradients, strict=True):
        assert np.isfinite(gradient.asnumpy()).all(), parameter.name
        assert gradient.asnumpy().any(), parameter.name


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_steps_lower_the_loss(device, optimizer):
    net = ConvTasNet(NetworkOptions(**SIZES), 8000)
    rate = {"adam": 1e-2, "sgd": 1e-2}[optimizer]
    step = TrainingStep(NetWithLoss(net), make_optimizer(net.trainable_params(), optimizer, rate), 5.0).set_train()
    losses = [float(step(*batch()).asnumpy()) for _ in range(40)]
    assert losses[-1] < losses[0] - 1
