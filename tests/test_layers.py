"""layers.py: each cell and its gradients against numpy formulas, in graph mode and in PyNative mode."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops

from config import NetworkOptions
from layers import NORMS, DepthwiseConv, GlobalStatistics, NormedPointwiseConv, PointwiseConv, PReLU
from model import Block

MODES = pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE], ids=["graph", "pynative"])
M, K, H = 2, 9, 4


def frame_mask(lengths, K=K):
    """Mask [M, K, 1], 1 at the first lengths[m] frames of mixture m."""
    return (np.arange(K)[None, :, None] < np.array(lengths)[:, None, None]).astype(np.float32)


MASKS = [frame_mask((9, 6)), frame_mask((0, 7))]  # an utterance shorter than the batch; one that is not there at all


class Weighted(nn.Cell):
    """Sum of a cell's output times some weights, and the output."""

    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def construct(self, weights, *inputs):
        output = self.cell(*inputs)
        return (output * weights).sum(), output


class Gradients(nn.Cell):
    """A cell's output, and the gradients of its weighted sum by the inputs at `positions` and by every parameter."""

    def __init__(self, cell, positions):
        super().__init__()
        self.several = len(positions) > 1
        positions = tuple(position + 1 for position in positions)
        self.gradients = ops.value_and_grad(Weighted(cell), positions, cell.trainable_params(), has_aux=True)

    def construct(self, weights, *inputs):
        (_, output), (by_inputs, by_parameters) = self.gradients(weights, *inputs)
        by_inputs = by_inputs if self.several else (by_inputs,)  # MindSpore unpacks a tuple of one
        return output, by_inputs + by_parameters


@pytest.fixture(autouse=True)
def restore_mode(device):
    yield
    ms.set_context(mode=ms.GRAPH_MODE)


def normal(*shape, mean=0.0, seed=0):
    return np.random.default_rng(seed).normal(mean, 1, shape).astype(np.float32)


def set_parameters(cell):
    """Give every parameter of a cell random values that no formula can ignore."""
    random = np.random.default_rng(2)
    for name, parameter in cell.parameters_and_names():
        values = random.normal(0.5, 0.5, parameter.shape)
        parameter.set_data(ms.Tensor((abs(values) if "variance" in name else values).astype(np.float32)))


def numeric_gradient(function, values, weights):
    """Central differences of sum(weights * function(values)), float64."""
    gradient, step = np.zeros_like(values), 1e-5
    for place in np.ndindex(values.shape):
        moved = [values.copy(), values.copy()]
        moved[0][place] += step
        moved[1][place] -= step
        gradient[place] = np.sum(weights * (function(moved[0]) - function(moved[1]))) / (2 * step)
    return gradient


def check(cell, formula, mode, inputs, masks=(None,), fixed=()):
    """Compare a cell's output and all its gradients with those of `formula(values, mask)`, numpy in float64.

    Args:
        inputs: arrays by name, in the order of the cell's arguments; the frame mask follows them where there is one.
        masks: frame masks to try, one after the other.
        fixed: names of inputs that carry no gradient.

    The formula's `values` are the inputs and the cell's parameters by name.
    """
    set_parameters(cell)
    ms.set_context(mode=mode)
    parameters = {name: parameter.asnumpy() for name, parameter in cell.parameters_and_names()}
    trained = [name for name, parameter in cell.parameters_and_names() if parameter.requires_grad]
    moving = [name for name in inputs if name not in fixed]
    values = {name: value.astype(np.float64) for name, value in (inputs | parameters).items()}
    gradients = Gradients(cell, [list(inputs).index(name) for name in moving])
    for mask in masks:
        expected = formula(values, mask)
        weights = normal(*expected.shape, seed=1)
        given = [*inputs.values()] if mask is None else [*inputs.values(), mask]
        output, found = gradients(ms.Tensor(weights), *(ms.Tensor(value) for value in given))
        agree(output, expected, "output")
        for name, gradient in zip(moving + trained, found, strict=True):
            moved = numeric_gradient(
                lambda v, name=name, mask=mask: formula(values | {name: v}, mask), values[name], weights
            )
            agree(gradient, moved, name, 1e-4)


def agree(found, expected, name, tolerance=1e-5):
    """Within so much of the largest number; or of 1, since terms of about 1 may cancel in the gradient of a slope."""
    assert found.shape == expected.shape, name
    tolerance *= max(1, np.abs(expected).max())
    np.testing.assert_allclose(found.asnumpy(), expected, atol=tolerance, rtol=0, err_msg=name)


@MODES
@pytest.mark.parametrize("bias", [0, 1])
def test_pointwise_convolution(mode, bias):
    def formula(v, _):
        return v["x"] @ v["weight"].T + v.get("bias", 0)

    check(PointwiseConv(H, 5, bias, np.random.default_rng(1)), formula, mode, {"x": normal(M, K, H)})


def what_a_norm_gives(rows):
    """Arbitrary y, level, gain and shift."""
    return {
        "y": normal(M, K, H),
        "level": 0.5 + abs(normal(rows, 1, 1, seed=3)),
        "gain": normal(1, 1, H, seed=4),
        "shift": normal(rows, 1, H, seed=5),
    }


@MODES
@pytest.mark.parametrize(("rows", "bias"), [(M, 0), (1, 1)])
def test_pointwise_convolution_after_a_norm(mode, rows, bias):
    def formula(v, _):
        return (v["y"] * v["level"] * v["gain"] + v["shift"]) @ v["weight"].T + v.get("bias", 0)

    check(NormedPointwiseConv(H, 5, bias, np.random.default_rng(1)), formula, mode, what_a_norm_gives(rows))


@MODES
def test_prelu(mode):
    def formula(v, mask):
        return np.where(v["x"] > 0, v["x"], v["slope"] * v["x"]) * mask

    check(PReLU(), formula, mode, {"x": normal(M, K, H)}, MASKS)


def depthwise(x, weight, bias, dilation, causal):
    """Output k is the sum over taps p of weight[p] * x[k + dilation * p - reach]; zeros outside."""
    P = len(weight)
    reach = (P - 1) * dilation if causal else (P - 1) * dilation // 2
    y = np.zeros_like(x) + bias
    for k in range(x.shape[1]):
        for p in range(P):
            source = k + dilation * p - reach
            if 0 <= source < x.shape[1]:
                y[:, k] += weight[p] * x[:, source]
    return y


@MODES
@pytest.mark.parametrize(
    ("P", "dilation", "causal", "bias", "rows"),
    [
        (3, 1, 0, 1, M),
        (3, 4, 1, 0, 1),
        (1, 2, 0, 0, M),
        (2, 2, 1, 1, 1),
        (5, 2, 0, 0, M),
        (3, 16, 0, 0, M),
        (3, 16, 1, 0, 1),
    ],
)
def test_depthwise_convolution(mode, P, dilation, causal, bias, rows):
    """A reach of 16 frames is more than there are; with one level for all mixtures it is a norm's constant 1."""

    def formula(v, mask):
        x = v["y"] * v["level"] * v["gain"] + v["shift"] * mask
        return depthwise(x, v["weight"], v.get("bias", 0), dilation, causal)

    cell = DepthwiseConv(H, P, dilation, causal, bias, np.random.default_rng(1))
    check(cell, formula, mode, what_a_norm_gives(rows), MASKS, fixed=["level"] if rows == 1 else [])


def global_norm(x, mask, v):
    y = np.zeros_like(x)
    for m, frames in enumerate(mask.sum((1, 2)).astype(int)):
        true = x[m, :frames]
        if frames:
            y[m, :frames] = (true - true.mean()) / np.sqrt(true.var() + 1e-8)
    return y


def channel_norm(x, mask, v):
    return (x - x.mean(2, keepdims=True)) / np.sqrt(x.var(2, keepdims=True) + 1e-8)


def cumulative_norm(x, mask, v):
    y = np.empty_like(x)
    for m, k in np.ndindex(M, K):
        past = x[m, : k + 1]
        y[m, k] = (x[m, k] - past.mean()) / np.sqrt(past.var() + 1e-8)
    return y


def batch_norm(x, mask, v):
    true = x[mask[:, :, 0] > 0]  # [frames, H]
    return (x - true.mean(0)) / np.sqrt(true.var(0) + 1e-5)


def trained_batch_norm(x, mask, v):
    return (x - v["norm.running_mean"]) / np.sqrt(v["norm.running_variance"] + 1e-5)


FORMULAS = {"gLN": global_norm, "cLN": channel_norm, "cgLN": cumulative_norm, "BN": batch_norm}
# Each norm by its name, whether it is training, and its formula without gain and bias.
NORM_CASES = pytest.mark.parametrize(
    ("name", "training", "normalize"),
    [*((name, True, formula) for name, formula in FORMULAS.items()), ("BN", False, trained_batch_norm)],
    ids=[*FORMULAS, "BN-trained"],
)


def normalized(v, mask, normalize):
    """Textbook norm: normalise, scale, shift, and zeros after the mixtures' ends."""
    return (normalize(v["x"], mask, v) * v["norm.gain"] + v["norm.bias"]) * mask


class Normed(nn.Cell):
    """What a norm of x stands for; x is zero after a mixture's end, as PReLU leaves it."""

    def __init__(self, norm):
        super().__init__()
        self.norm = norm

    def construct(self, x, frame_mask):
        y, level, gain, shift = self.norm(x * frame_mask, frame_mask)
        return (y * level * gain + shift) * frame_mask

    def formula(self, y, v, mask):
        return y


class ThenPointwise(nn.Cell):
    """A norm of x and the 1x1 convolution of it, at the true frames."""

    def __init__(self, norm):
        super().__init__()
        self.norm = norm
        self.convolution = NormedPointwiseConv(H, 5, 1, np.random.default_rng(1))

    def construct(self, x, frame_mask):
        return self.convolution(*self.norm(x * frame_mask, frame_mask)) * frame_mask

    def formula(self, y, v, mask):
        return (y @ v["convolution.weight"].T + v["convolution.bias"]) * mask


class ThenDepthwise(nn.Cell):
    """A norm of x and the convolution over time of it."""

    def __init__(self, norm):
        super().__init__()
        self.norm = norm
        self.convolution = DepthwiseConv(H, 3, 2, 0, 1, np.random.default_rng(1))

    def construct(self, x, frame_mask):
        return self.convolution(*self.norm(x * frame_mask, frame_mask), frame_mask)

    def formula(self, y, v, mask):
        return depthwise(y, v["convolution.weight"], v["convolution.bias"], 2, 0)


WHAT_FOLLOWS = pytest.mark.parametrize("then", [Normed, ThenPointwise, ThenDepthwise])


class Statistics(nn.Cell):
    """Mean and reciprocal deviation, side by side: [M, 2, 1]."""

    def __init__(self):
        super().__init__()
        self.statistics = GlobalStatistics()

    def construct(self, x, frame_mask):
        return ops.cat(self.statistics(x, frame_mask), 1)


@MODES
def test_global_statistics_leave_out_what_follows_a_mixture(mode):
    def formula(v, mask):
        true = [x[frames > 0] for x, frames in zip(v["x"], mask[:, :, 0], strict=True)]
        return np.array([[[x.mean()], [1 / np.sqrt(x.var() + 1e-8)]] for x in true])

    check(Statistics(), formula, mode, {"x": normal(M, K, H)}, MASKS[:1])


@MODES
@NORM_CASES
@WHAT_FOLLOWS
def test_norm_and_what_follows_it(mode, name, training, normalize, then):
    """Normalise, mask, convolve, step by step: what a norm and a convolution share out between them."""
    cell = then(NORMS[name](H)).set_train(training)

    def formula(v, mask):
        return cell.formula(normalized(v, mask, normalize), v, mask)

    check(cell, formula, mode, {"x": normal(M, K, H)}, MASKS)


@MODES
@pytest.mark.parametrize("name", ["gLN", "cLN", "cgLN"])
@WHAT_FOLLOWS
def test_norm_keeps_its_digits_beside_a_large_mean(mode, name, then):
    """float32 holds 1000 to 6e-5; statistics of one pass would lose all digits of the variance."""
    cell, mask = then(NORMS[name](H)), MASKS[0]
    ms.set_context(mode=mode)
    x = normal(M, K, H, mean=1000)
    found = cell(ms.Tensor(x), ms.Tensor(mask)).asnumpy()
    v = {name: parameter.asnumpy().astype(np.float64) for name, parameter in cell.parameters_and_names()}
    expected = cell.formula(normalized({"x": x.astype(np.float64)} | v, mask, FORMULAS[name]), v, mask)
    np.testing.assert_allclose(found, expected, atol=1e-3)


@MODES
def test_batch_norm_remembers_what_it_was_trained_on(mode):
    cell, mask = Normed(NORMS["BN"](H)), MASKS[0]
    ms.set_context(mode=mode)
    mean, variance = np.zeros(H), np.ones(H)
    cell.set_train()
    for step in range(3):
        x = 2 + 3 * normal(M, K, H, seed=step)
        cell(ms.Tensor(x), ms.Tensor(mask))
        true = x.astype(np.float64)[mask[:, :, 0] > 0]
        mean = 0.9 * mean + 0.1 * true.mean(0)
        variance = 0.9 * variance + 0.1 * true.var(0, ddof=1)
    np.testing.assert_allclose(cell.norm.running_mean.asnumpy(), mean, rtol=1e-5)
    np.testing.assert_allclose(cell.norm.running_variance.asnumpy(), variance, rtol=1e-5)
    cell.set_train(False)
    found = cell(ms.Tensor(x), ms.Tensor(mask)).asnumpy()
    np.testing.assert_allclose(found, (x - mean) / np.sqrt(variance + 1e-5) * mask, atol=1e-5)
    np.testing.assert_allclose(cell.norm.running_mean.asnumpy(), mean, rtol=1e-5)


class PlainBlock(nn.Cell):
    """A gLN block with the parameters of `block`, step by step and with the gradients that MindSpore derives."""

    def __init__(self, block, P, dilation):
        super().__init__()
        self.block, self.P, self.dilation = block, P, dilation

    def construct(self, x, frame_mask):
        block = self.block
        y = self.prelu(self.pointwise(x, block.conv_in), block.prelu_in)  # [M, K, H]
        y = self.norm(y, block.norm_in, frame_mask)
        y = self.prelu(self.depthwise(y, block.depthwise), block.prelu_out)
        y = self.norm(y, block.norm_out, frame_mask)
        return x + self.pointwise(y, block.conv_residual), self.pointwise(y, block.conv_skip)

    def pointwise(self, x, convolution):
        return ops.matmul(x, convolution.weight.T) + convolution.bias

    def prelu(self, x, prelu):
        return ops.where(x > 0, x, prelu.slope * x)

    def norm(self, x, norm, frame_mask):
        count = frame_mask.sum(1, keepdims=True) * x.shape[2]  # [M, 1, 1]
        centred = (x - (x * frame_mask).sum((1, 2), keepdims=True) / count) * frame_mask
        variance = (centred * centred).sum((1, 2), keepdims=True) / count
        return (centred / ops.sqrt(variance + 1e-8) * norm.gain + norm.bias) * frame_mask

    def depthwise(self, x, convolution):
        K, reach = x.shape[1], (self.P - 1) * self.dilation
        padded = ops.pad(x, (0, 0, reach // 2, reach // 2))  # [M, K + reach, H]
        y = convolution.bias
        for p in range(self.P):
            y = y + convolution.weight[p] * padded[:, p * self.dilation : p * self.dilation + K]
        return y


class Joined(nn.Cell):
    """Both outputs of a block side by side, at the true frames: [M, K, B + Sc]."""

    def __init__(self, block):
        super().__init__()
        self.block = block

    def construct(self, x, frame_mask):
        return ops.cat(self.block(x, frame_mask), 2) * frame_mask


@pytest.mark.parametrize("lengths", [(40, 40), (40, 23), (31,)])
def test_block_and_its_gradients_are_those_of_plain_operators(lengths):
    options = NetworkOptions(B=6, H=8, Sc=5, P=3, bias=1, norm_type="gLN")
    block = Block(options, dilation=4, is_last=False, random=np.random.default_rng(0))
    set_parameters(block)
    given = [normal(len(lengths), 40, 6), frame_mask(lengths, 40)]
    weights = normal(len(lengths), 40, 6 + 5, seed=1)
    results = []
    for cell in (block, PlainBlock(block, 3, 4)):
        output, found = Gradients(Joined(cell), [0])(*(ms.Tensor(value) for value in (weights, *given)))
        results.append([output, *found])
    names = ["output", "x", *(name for name, parameter in block.parameters_and_names())]
    for name, found, expected in zip(names, *results, strict=True):
        agree(found, expected.asnumpy(), name, 2e-5)
