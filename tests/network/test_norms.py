"""network/norms.py: each norm, what follows it, and their gradients against numpy, in graph and in PyNative mode."""

import mindspore as ms
import numpy as np
import pytest
from gradients import MASKS, MODES, H, K, M, compare_gradients, normal
from mindspore import nn, ops
from test_layers import depthwise

from network.layers import DepthwiseConv, NormedPointwiseConv
from network.norms import NORMS, GlobalStatistics

pytestmark = pytest.mark.usefixtures("restore_mode")


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

    compare_gradients(Statistics(), formula, mode, {"x": normal(M, K, H)}, MASKS[:1])


@MODES
@NORM_CASES
@WHAT_FOLLOWS
def test_norm_and_what_follows_it(mode, name, training, normalize, then):
    """Normalise, mask, convolve, step by step: what a norm and a convolution share out between them."""
    cell = then(NORMS[name](H)).set_train(training)

    def formula(v, mask):
        return cell.formula(normalized(v, mask, normalize), v, mask)

    compare_gradients(cell, formula, mode, {"x": normal(M, K, H)}, MASKS)


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
