"""common/estimates.py: gains are those of least squares, unless the mixture does not tell the estimates apart."""

import numpy as np

from common.estimates import mixture_gains


def test_gains_are_those_of_least_squares():
    estimates = np.random.default_rng(0).normal(size=(3, 500))
    mixture = np.array([2, -0.5, 30]) @ estimates + 0.1 * np.random.default_rng(1).normal(size=500)
    assert np.allclose(mixture_gains(estimates, mixture), np.linalg.lstsq(estimates.T, mixture, rcond=None)[0])


def test_estimates_that_are_alike_or_silent_keep_the_levels_between_them():
    mixture = np.random.default_rng(0).normal(size=500)
    estimates = np.stack([4 * mixture, mixture, 0 * mixture])
    assert np.allclose(
        (mixture_gains(estimates, mixture)[:, np.newaxis] * estimates)[:2], [0.8 * mixture, 0.2 * mixture]
    )
    noise = np.random.default_rng(1).normal(size=(3, 500))
    almost = estimates + 1e-3 * noise * [[1], [1], [0]]
    assert np.allclose(mixture_gains(almost, mixture + 0.1 * noise[2])[:2], 0.2, atol=0.01)
    assert np.isfinite(mixture_gains(estimates, 0 * mixture)).all()
