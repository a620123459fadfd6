"""ascend_check/numbers.py: its numbers are those of a separation and of a training."""

import numpy as np
import pytest

from ascend_check import numbers
from ascend_check.graphs import C, M, T, network
from network.in_numpy import NumpyNetwork


@pytest.fixture(scope="module")
def found(device):
    return numbers.numbers("CPU", ["gLN"])


def test_estimates_are_those_of_the_numpy_network(found):
    random = np.random.default_rng(0)
    mixture = (0.1 * random.standard_normal((M, C, T), np.float32)).sum(1)
    expected = NumpyNetwork.of(network({}))(mixture[0])
    np.testing.assert_allclose(found["gLN: estimates"][0], expected, atol=1e-5 * np.abs(expected).max())


def test_training_begins_at_the_loss_and_lowers_it(found):
    losses = found["gLN: losses of training"]
    assert losses.shape == (numbers.STEPS,) and losses[-1] < losses[0]
    np.testing.assert_allclose(found["gLN: loss"] / M, losses[:1], rtol=1e-5)
    size = sum(parameter.size for parameter in network({}).trainable_params())
    assert found["gLN: gradients"].shape == (size,) and np.abs(found["gLN: gradients"]).max() > 0
