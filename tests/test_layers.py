"""layers.py: each cell and its gradients against numpy formulas, in graph mode and in PyNative mode."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops

from layers import NORMS, DepthwiseConv, PointwiseConv, PReLU

MODES = pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE], ids=["graph", "pynative"])
M, K, H = 2, 9, 4
FRAME_MASK = np.arange(K)[None, :, None] < np.array([[[9]], [[6]]])  # the second utterance has 6 true frames


class Weighted(nn.Cell):
    """Sum of a cell's output times some weights, and the output."""

    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def construct(self, weights, *inputs):
        output = self.cell(*inputs)
        return (output * weights).sum(), output


class Gradients(nn.Cell):
    """A cell's output, and the gradients of its weighted sum by the first input and by every parameter."""

    def __init__(self, cell):
        super().__init__()
        self.gradients = ops.value_and_grad(Weighted(cell), 1, cell.trainable_params(), has_aux=True)

    def construct(self, weights, *inputs):
        return self.gradients(weights, *inputs)


@pytest.fixture(autouse=True)
def restore_mode(device):
    yield
    ms.set_context(mode=ms.GRAPH_MODE)


def set_parameters(cell, random):
    """Give every trained parameter of a cell random values that no formula can ignore."""
    for parameter in cell.trainable_params():
        parameter.set_data(ms.Tensor(random.normal(0.5, 0.5, parameter.shape).astype(np.float32)))


def numeric_gradient(function, values, weights):
    """Central differences of sum(weights * function(values)), float64."""
    gradient, step = np.zeros_like(values), 1e-5
    for place in np.ndindex(values.shape):
        moved = [values.copy(), values.copy()]
        moved[0][place] += step
        moved[1][place] -= step
        gradient[place] = np.sum(weights * (function(moved[0]) - function(moved[1]))) / (2 * step)
    return gradient


def check(cell, formula, mode, masked=False):
    """Compare a cell's output and gradients with those of `formula(x, parameters)`, numpy in float64.

    With `masked` the cell is given the frame mask, and gives zeros beyond the true frames.
    """
    random = np.random.default_rng(0)
    set_parameters(cell, random)
    ms.set_context(mode=mode)
    x = random.standard_normal((M, K, H)).astype(np.float32)
    parameters = {p.name.split(".")[-1]: p.asnumpy().astype(np.float64) for p in cell.trainable_params()}
    expected = formula(x.astype(np.float64), parameters)
    weights = random.standard_normal(expected.shape).astype(np.float32)
    rest = [ms.Tensor(FRAME_MASK.astype(np.float32))] if masked else []
    (_, output), (by_input, by_parameters) = Gradients(cell)(ms.Tensor(weights), ms.Tensor(x), *rest)
    np.testing.assert_allclose(output.asnumpy(), expected, atol=1e-5 * np.abs(expected).max())
    agree(by_input, numeric_gradient(lambda x: formula(x, parameters), x.astype(np.float64), weights), "input")
    for parameter, gradient in zip(cell.trainable_params(), by_parameters, strict=True):
        name = parameter.name.split(".")[-1]
        agree(
            gradient,
            numeric_gradient(
                lambda value, name=name: formula(x.astype(np.float64), parameters | {name: value}),
                parameters[name],
                weights,
            ),
            name,
        )


def agree(found, expected, name):
    assert found.shape == expected.shape, name
    np.testing.assert_allclose(found.asnumpy(), expected, atol=1e-4 * np.abs(expected).max(), rtol=0, err_msg=name)


@MODES
@pytest.mark.parametrize("bias", [0, 1])
def test_pointwise_convolution(mode, bias):
    def formula(x, parameters):
        return np.einsum("mki,oi->mko", x, parameters["weight"]) + parameters.get("bias", 0)

    check(PointwiseConv(H, 5, bias, np.random.default_rng(1)), formula, mode)


@MODES
def test_prelu(mode):
    check(PReLU(), lambda x, parameters: np.where(x > 0, x, parameters["slope"] * x), mode)


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
    ("P", "dilation", "causal", "bias"),
    [(3, 1, 0, 1), (3, 4, 1, 0), (1, 2, 0, 0), (2, 2, 1, 1), (5, 2, 0, 0), (3, 16, 0, 0), (3, 16, 1, 0)],
)
def test_depthwise_convolution(mode, P, dilation, causal, bias):
    """A reach of 16 frames is more than there are."""

    def formula(x, parameters):
        return depthwise(x, parameters["weight"], parameters.get("bias", 0), dilation, causal)

    check(DepthwiseConv(H, P, dilation, causal, bias, np.random.default_rng(1)), formula, mode)


def global_norm(x, parameters):
    y = np.empty_like(x)
    for m, frames in enumerate(FRAME_MASK.sum((1, 2))):
        true = x[m, :frames]
        y[m] = (x[m] - true.mean()) / np.sqrt(true.var() + 1e-8)
    return (y * parameters["gain"] + parameters["bias"]) * FRAME_MASK


def frame_norm(x, parameters):
    y = (x - x.mean(2, keepdims=True)) / np.sqrt(x.var(2, keepdims=True) + 1e-8)
    return (y * parameters["gain"] + parameters["bias"]) * FRAME_MASK


def cumulative_norm(x, parameters):
    y = np.empty_like(x)
    for m, k in np.ndindex(M, K):
        past = x[m, : k + 1]
        y[m, k] = (x[m, k] - past.mean()) / np.sqrt(past.var() + 1e-8)
    return (y * parameters["gain"] + parameters["bias"]) * FRAME_MASK


def batch_norm(x, parameters):
    true = x[FRAME_MASK[:, :, 0]]  # [frames, H]
    y = (x - true.mean(0)) / np.sqrt(true.var(0) + 1e-5)
    return (y * parameters["gain"] + parameters["bias"]) * FRAME_MASK


FORMULAS = {"gLN": global_norm, "cLN": frame_norm, "cgLN": cumulative_norm, "BN": batch_norm}


@MODES
@pytest.mark.parametrize("name", FORMULAS)
def test_norm(name, mode):
    check(NORMS[name](H).set_train(), FORMULAS[name], mode, masked=True)


@MODES
@pytest.mark.parametrize("name", ["gLN", "cLN", "cgLN"])
def test_norm_keeps_its_digits_beside_a_large_mean(name, mode):
    """float32 holds 1000 to 6e-5; statistics of one pass would lose all digits of the variance."""
    cell = NORMS[name](H)
    ms.set_context(mode=mode)
    x = (1000 + np.random.default_rng(0).standard_normal((M, K, H))).astype(np.float32)
    found = cell(ms.Tensor(x), ms.Tensor(FRAME_MASK.astype(np.float32))).asnumpy()
    expected = FORMULAS[name](x.astype(np.float64), {"gain": np.ones(H), "bias": np.zeros(H)})
    np.testing.assert_allclose(found, expected, atol=1e-3)


@MODES
def test_batch_norm_remembers_what_it_was_trained_on(mode):
    random, cell = np.random.default_rng(0), NORMS["BN"](H)
    set_parameters(cell, random)
    ms.set_context(mode=mode)
    mask = ms.Tensor(FRAME_MASK.astype(np.float32))
    mean, variance = np.zeros(H), np.ones(H)
    cell.set_train()
    for _ in range(3):
        x = random.normal(2, 3, (M, K, H)).astype(np.float32)
        cell(ms.Tensor(x), mask)
        true = x.astype(np.float64)[FRAME_MASK[:, :, 0]]
        mean = 0.9 * mean + 0.1 * true.mean(0)
        variance = 0.9 * variance + 0.1 * true.var(0, ddof=1)
    np.testing.assert_allclose(cell.running_mean.asnumpy(), mean, rtol=1e-5)
    np.testing.assert_allclose(cell.running_variance.asnumpy(), variance, rtol=1e-5)
    cell.set_train(False)
    found = cell(ms.Tensor(x), mask).asnumpy()
    expected = (x - mean) / np.sqrt(variance + 1e-5) * cell.gain.asnumpy() + cell.bias.asnumpy()
    np.testing.assert_allclose(found, expected * FRAME_MASK, atol=1e-5)
    np.testing.assert_allclose(cell.running_mean.asnumpy(), mean, rtol=1e-5)
