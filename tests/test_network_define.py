"""network_define.py: clipping, optimisers, and a step that teaches the network something."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import ops

from model import Block, ConvTasNet
from network.in_numpy import NumpyNetwork
from network.options import NetworkOptions
from network_define import MovingAverage, NetWithLoss, SummedGradients, TrainingStep, make_optimizer

SIZES = dict(N=12, L=8, B=6, H=8, X=2, R=1)


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
    TrainingStep(net_with_loss, make_optimizer(net.trainable_params(), "sgd", 1.0), part * norm(gradients))(batch())
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


def test_decay_of_adamw_is_apart_from_the_gradient(pynative):
    """Two steps by the definition (Loshchilov and Hutter 2019, algorithm 2), through the step that decays."""
    net = ConvTasNet(NetworkOptions(**SIZES), 8000)
    net_with_loss = NetWithLoss(net)
    weight = net.decoder.weight
    expected, first, second = weight.asnumpy().astype(np.float64), 0.0, 0.0
    step = TrainingStep(net_with_loss, make_optimizer(net.trainable_params(), "adamw", 0.01, l2=0.1), 0.0)
    for count in (1, 2):
        gradient = ops.grad(net_with_loss, None, [weight])(*batch())[0].asnumpy().astype(np.float64)
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        update = first / (1 - 0.9**count) / (np.sqrt(second / (1 - 0.999**count)) + 1e-8)
        expected = expected * (1 - 0.01 * 0.1) - 0.01 * update
        step(batch())
        np.testing.assert_allclose(weight.asnumpy(), expected, atol=2e-5)


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


@pytest.mark.parametrize(
    "options",
    [
        dict(norm_type="gLN", Sc=5, bias=1),
        *(
            pytest.param(options, marks=pytest.mark.slow)
            for options in [
                dict(norm_type="gLN"),
                dict(norm_type="BN", Sc=5),
                dict(norm_type="BN", causal=1, bias=1),
                dict(norm_type="cLN"),
                dict(norm_type="cLN", causal=1, Sc=5, bias=1),
                dict(norm_type="cgLN", Sc=5),
                dict(norm_type="cgLN", causal=1, bias=1),
            ]
        ),
    ],
)
def test_blocks_that_are_compiled_once_have_gradients_of_their_own(device, monkeypatch, options):
    """Loss and every gradient are, to the bit, those of a network whose blocks are compiled each by itself."""
    found = []
    for init in (Block.__init__, Block.__init__.__wrapped__):
        monkeypatch.setattr(Block, "__init__", init)
        net = ConvTasNet(NetworkOptions(**SIZES | dict(R=2), **options), 8000)
        gradients = SummedGradients(NetWithLoss(net).set_train(), net.trainable_params())
        found.append([value.asnumpy() for value in gradients(*batch(), ms.Tensor(1.0, ms.float32))])
    for name, one, other in zip(["loss", "count", *(p.name for p in net.trainable_params())], *found, strict=True):
        assert other.any(), name
        np.testing.assert_array_equal(one, other, err_msg=name)


@pytest.mark.slow
def test_blocks_compiled_for_training_are_compiled_anew_to_separate(device):
    """BN's blocks differ between the two; each moved its own running averages, and then goes by them."""
    net = ConvTasNet(NetworkOptions(**SIZES | dict(R=2), norm_type="BN"), 8000)
    TrainingStep(NetWithLoss(net), make_optimizer(net.trainable_params(), "adam", 0.1), 5.0).set_train()(batch())
    found = net.set_train(False)(batch()[0]).asnumpy()
    expected = np.stack([NumpyNetwork.of(net)(mixture) for mixture in batch()[0].asnumpy()])
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max(), rtol=0)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_steps_lower_the_loss(device, optimizer):
    net = ConvTasNet(NetworkOptions(**SIZES), 8000)
    rate = {"adam": 1e-2, "sgd": 1e-2}[optimizer]
    step = TrainingStep(NetWithLoss(net), make_optimizer(net.trainable_params(), optimizer, rate), 5.0).set_train()
    losses = [step(batch())[0] for _ in range(40)]
    assert losses[-1] < losses[0] - 1


def parts(whole, *bounds):
    """A batch cut into smaller ones, filled up to the size of the largest with rows of length 0."""
    size = max(stop - start for start, stop in bounds)
    cut = [[column.asnumpy()[start:stop] for column in whole] for start, stop in bounds]
    return [
        tuple(ms.Tensor(np.pad(column, [(0, size - len(column))] + [(0, 0)] * (column.ndim - 1))) for column in batch)
        for batch in cut
    ]


@pytest.mark.parametrize("max_norm", [0.0, 0.5])
def test_accumulated_batches_make_the_step_of_one_large_batch(device, max_norm):
    """Three batches of 2, 2 and 1 mixtures against one of 5, over two steps."""
    whole, weights, losses = batch(M=5), [], []
    for batches in ([whole], parts(whole, (0, 2), (2, 4), (4, 5))):
        net = ConvTasNet(NetworkOptions(**SIZES), 8000)
        step = TrainingStep(NetWithLoss(net), make_optimizer(net.trainable_params(), "sgd", 0.1), max_norm).set_train()
        losses.append([step(*batches)[0] for _ in range(2)])
        weights.append(values(net))
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(other, one, atol=1e-5)


@pytest.mark.parametrize("optimizer, mode", [("sgd", "pynative"), ("adam", "pynative"), ("adamw", "device")])
def test_a_step_that_is_not_finite_changes_nothing(request, optimizer, mode):
    """Compiled once, with the optimiser that the step itself does most for."""
    request.getfixturevalue(mode)
    net = ConvTasNet(NetworkOptions(**SIZES), 8000)
    step = TrainingStep(NetWithLoss(net), make_optimizer(net.trainable_params(), optimizer, 0.1, l2=0.1), 5.0)
    assert step(batch())[1]
    before = [parameter.asnumpy().copy() for parameter in step.optimizer.get_parameters()]
    mixture, lengths, sources = batch()
    broken = sources.asnumpy()
    broken[0, 0, 10] = np.inf
    assert not step((mixture, lengths, ms.Tensor(broken)))[1]
    assert not step((mixture, ms.Tensor([0, 0], ms.int32), sources))[1]
    for old, parameter in zip(before, step.optimizer.get_parameters(), strict=True):
        np.testing.assert_array_equal(parameter.asnumpy(), old, err_msg=parameter.name)
    assert step(batch())[1]


def test_loss_scale_changes_no_step_and_falls_where_one_overflows(device):
    """In float32 a scale of a power of two is exact, so that the step must be the same to the bit."""
    weights = []
    for scaler in (None, ms.amp.DynamicLossScaler(2.0**10, 2, 1000)):
        net = ConvTasNet(NetworkOptions(**SIZES), 8000)
        step = TrainingStep(NetWithLoss(net), make_optimizer(net.trainable_params(), "adam", 0.1), 5.0, 1, scaler)
        step(batch())
        weights.append(values(net))
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)
    step.loss_scale = 2.0**127
    assert step(batch())[1] is False
    assert step.loss_scale == 2.0**126


def test_moving_average(device):
    weight = ms.Parameter(ms.Tensor([1.0, 2.0], ms.float32), name="weight")
    average = MovingAverage([weight], 0.9)
    expected = np.array([1.0, 2.0])
    for steps, value in enumerate(([3.0, 5.0], [7.0, -1.0], [0.0, 1.0]), start=1):
        weight.set_data(ms.Tensor(value, ms.float32))
        average.follow(steps)
        keep = (1 + steps) / (10 + steps)
        expected = keep * expected + (1 - keep) * np.array(value)
        np.testing.assert_allclose(average.averages[0].asnumpy(), expected, rtol=1e-6)
        np.testing.assert_array_equal(weight.asnumpy(), value)
    before = average.averages[0].asnumpy().copy()
    average.follow(10**6)
    np.testing.assert_allclose(average.averages[0].asnumpy(), 0.9 * before + 0.1 * np.array([0.0, 1.0]), rtol=1e-6)
