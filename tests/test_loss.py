"""loss.py: ratios against the paper's formula, the permutation search against brute force, silence and padding."""

from itertools import permutations

import mindspore as ms
import numpy as np
import pytest
from mindspore import ops

from loss import PermutationSearch, SeparationLoss, pairwise_si_snr

pytestmark = pytest.mark.usefixtures("pynative")


def si_snr(estimate, source):
    """Paper, section 2.D, in float64 dB."""
    estimate, source = (signal.astype(np.float64) - signal.mean(dtype=np.float64) for signal in (estimate, source))
    target = (estimate @ source) / (source @ source) * source
    return 10 * np.log10((target @ target) / ((estimate - target) @ (estimate - target)))


def batch(M, C, T, seed=0):
    """Estimates and sources [M, C, T] that resemble each other somewhat, with means that are not zero."""
    random = np.random.default_rng(seed)
    sources = random.standard_normal((M, C, T)) + 0.3
    mixing = random.standard_normal((M, C, C))
    estimates = mixing @ sources + random.standard_normal((M, C, T)) - 0.5
    return estimates.astype(np.float32), sources.astype(np.float32)


def tensors(estimates, sources, lengths):
    return ms.Tensor(estimates), ms.Tensor(sources), ms.Tensor(lengths, ms.int32)


def pairwise_formula(estimates, sources, lengths):
    """[M, C, C], from the true samples alone."""
    M, C, _ = estimates.shape
    expected = np.empty((M, C, C))
    for m, i, j in np.ndindex(M, C, C):
        expected[m, i, j] = si_snr(estimates[m, i, : lengths[m]], sources[m, j, : lengths[m]])
    return expected


@pytest.mark.parametrize("C", [1, 2, 3])
def test_pairwise_ratios_of_the_true_samples(C):
    estimates, sources = batch(3, C, 301)
    lengths = [301, 150, 77]
    found = pairwise_si_snr(*tensors(estimates, sources, lengths)).asnumpy()
    np.testing.assert_allclose(found, pairwise_formula(estimates, sources, lengths), atol=1e-3)


def test_ratio_does_not_depend_on_level_or_offset():
    estimates, sources = batch(1, 2, 400)
    plain = pairwise_si_snr(*tensors(estimates, sources, [400])).asnumpy()
    moved = pairwise_si_snr(*tensors(20 * estimates + 3, 0.1 * sources - 1, [400])).asnumpy()
    np.testing.assert_allclose(moved, plain, atol=1e-2)


@pytest.mark.parametrize("C", [2, 3, 4, 5])
def test_loss_is_that_of_the_best_order(C):
    estimates, sources = batch(4, C, 200, seed=C)
    lengths = [200, 180, 99, 200]
    pairwise = pairwise_formula(estimates, sources, lengths)
    best = [max(np.mean([p[order[j], j] for j in range(C)]) for order in permutations(range(C))) for p in pairwise]
    loss = SeparationLoss(C)(*tensors(estimates, sources, lengths)).asnumpy()
    assert loss.shape == ()
    assert loss == pytest.approx(-np.mean(best), abs=1e-3)


@pytest.mark.parametrize("C", [2, 3, 4, 5])
def test_every_order_is_searched(C):
    search = PermutationSearch(C)
    orders = list(permutations(range(C)))
    for order in orders:
        pairwise = np.zeros((1, C, C), np.float32)
        pairwise[0, list(order), range(C)] = 10  # estimate order[j] fits source j
        means = search(ms.Tensor(pairwise)).asnumpy()[0]
        assert len(means) == len(orders)
        assert tuple(search.orders[means.argmax()]) == order
        assert means.max() == pytest.approx(10)


def test_rows_of_length_0_do_not_count():
    estimates, sources = batch(3, 2, 100)
    alone = SeparationLoss(2)(*tensors(estimates[:1], sources[:1], [100])).asnumpy()
    filled = SeparationLoss(2)(*tensors(estimates, sources, [100, 0, 0])).asnumpy()
    assert filled == pytest.approx(alone, abs=1e-5)
    assert SeparationLoss(2)(*tensors(estimates, sources, [0, 0, 0])).asnumpy() == 0


@pytest.mark.parametrize("silent", ["source", "estimate", "both", "constant", "one sample"])
def test_silence_gives_finite_losses_and_gradients(silent):
    estimates, sources = batch(2, 2, 100)
    lengths = [100, 1] if silent == "one sample" else [100, 100]
    if silent in ("source", "both"):
        sources[0, 1] = 0
    if silent in ("estimate", "both"):
        estimates[0] = 0
    if silent == "constant":
        estimates[0] = sources[0] = 0.5
    loss, gradient = ops.value_and_grad(SeparationLoss(2))(*tensors(estimates, sources, lengths))
    assert np.isfinite(loss.asnumpy())
    assert np.isfinite(gradient.asnumpy()).all()
    assert gradient.asnumpy()[1, :, 0].any() == (silent != "one sample")


def test_a_perfect_estimate_is_finite():
    _, sources = batch(1, 2, 100)
    loss, gradient = ops.value_and_grad(SeparationLoss(2))(*tensors(sources, sources, [100]))
    assert -200 < loss.asnumpy() < -60
    assert np.isfinite(gradient.asnumpy()).all()


def test_gradient_of_the_estimates():
    """Against central differences of the formula; none behind an utterance's end."""
    estimates, sources = batch(2, 2, 12)
    lengths = [12, 9]
    gradient = ops.grad(SeparationLoss(2))(*tensors(estimates, sources, lengths)).asnumpy()
    expected = np.zeros(estimates.shape)
    values = estimates.astype(np.float64)
    for place in np.ndindex(values.shape):
        losses = []
        for step in (1e-5, -1e-5):
            moved = values.copy()
            moved[place] += step
            p = pairwise_formula(moved, sources, lengths)
            losses.append(-np.mean(np.maximum(p[:, 0, 0] + p[:, 1, 1], p[:, 0, 1] + p[:, 1, 0]) / 2))
        expected[place] = (losses[0] - losses[1]) / 2e-5
    np.testing.assert_allclose(gradient, expected, atol=1e-4 * np.abs(expected).max())
