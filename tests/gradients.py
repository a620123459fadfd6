"""A cell and all its gradients against a formula in numpy, in graph mode and in PyNative mode."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops

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


def compare_gradients(cell, formula, mode, inputs, masks=(None,), fixed=()):
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
