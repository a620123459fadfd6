"""network/layers.py: each cell and its gradients against numpy formulas, in graph mode and in PyNative mode."""

import mindspore as ms
import numpy as np
import pytest
from gradients import MASKS, MODES, Gradients, H, K, M, agree, compare_gradients, frame_mask, normal, set_parameters
from mindspore import nn, ops

from model import Block
from network.layers import DepthwiseConv, NormedPointwiseConv, PointwiseConv, PReLU
from network.options import NetworkOptions

pytestmark = pytest.mark.usefixtures("restore_mode")


@MODES
@pytest.mark.parametrize("bias", [0, 1])
def test_pointwise_convolution(mode, bias):
    def formula(v, _):
        return v["x"] @ v["weight"].T + v.get("bias", 0)

    compare_gradients(PointwiseConv(H, 5, bias, np.random.default_rng(1)), formula, mode, {"x": normal(M, K, H)})


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

    compare_gradients(NormedPointwiseConv(H, 5, bias, np.random.default_rng(1)), formula, mode, what_a_norm_gives(rows))


@MODES
def test_prelu(mode):
    def formula(v, mask):
        return np.where(v["x"] > 0, v["x"], v["slope"] * v["x"]) * mask

    compare_gradients(PReLU(), formula, mode, {"x": normal(M, K, H)}, MASKS)


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
    compare_gradients(cell, formula, mode, what_a_norm_gives(rows), MASKS, fixed=["level"] if rows == 1 else [])


class PlainBlock(nn.Cell):
    """A gLN block with the parameters of `block`, step by step and with the gradients that MindSpore derives."""

    def __init__(self, block, P, dilation):
        super().__init__()
        self.block, self.P, self.dilation = block, P, dilation

    def construct(self, x, frame_mask, mixture_masks):
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
        return ops.cat(self.block(x, frame_mask, None), 2) * frame_mask


@pytest.mark.parametrize("lengths", [(40, 40), (40, 23), (31,)])
def test_block_and_its_gradients_are_those_of_plain_operators(lengths):
    options = NetworkOptions(B=6, H=8, Sc=5, P=3, bias=1, norm_type="gLN")
    block = Block(options, dilation=4, has_residual=True, random=np.random.default_rng(0))
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
