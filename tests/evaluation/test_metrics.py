"""evaluation/metrics.py against the formulas written out, and against mir_eval."""

import itertools

import mir_eval
import numpy as np
import pytest
from formulas import paper_si_snr

from common.estimates import best_permutation
from evaluation.metrics import is_silent, sdr, si_snr

random = np.random.default_rng(0)


def signals(speakers, length, noise=0.3):
    sources = random.normal(size=(speakers, length))
    return sources, sources + noise * random.normal(size=(speakers, length))


@pytest.mark.parametrize("length", [50, 4001])
def test_si_snr_is_that_of_the_paper_for_every_pair_whatever_the_means_and_levels(length):
    sources, estimates = signals(3, length)
    estimates = 1e-9 * estimates + 2e-9
    expected = [[paper_si_snr(source, estimate) for estimate in estimates] for source in sources + 0.5]
    assert np.allclose(si_snr(sources + 0.5, estimates), expected, atol=1e-5)


@pytest.mark.filterwarnings("ignore:mir_eval:FutureWarning")
@pytest.mark.parametrize("length", [100, 511, 512, 513, 4001])
def test_sdr_is_that_of_mir_eval(length):
    sources, estimates = signals(3, length)
    estimates[0] = np.convolve(estimates[0], [1, 0.5, -0.3])[:length]  # a filter that SDR forgives
    expected, *_ = mir_eval.separation.bss_eval_sources(sources, estimates, compute_permutation=False)
    assert np.allclose(np.diag(sdr(sources, 1e-9 * estimates)), expected, atol=1e-4)


@pytest.mark.parametrize("speakers", [1, 2, 3, 4, 5])
def test_best_permutation_is_that_of_brute_force(speakers):
    values = random.normal(size=(speakers, speakers))
    rows = np.arange(speakers)
    expected = max(itertools.permutations(range(speakers)), key=lambda order: values[rows, order].sum())
    assert tuple(best_permutation(values)) == expected


def test_perfect_and_silent_estimates_have_finite_values():
    sources, _ = signals(2, 1000)
    estimates = np.stack([sources[0], np.zeros(1000)])
    assert np.allclose(si_snr(sources, estimates)[:, 1], -100)
    assert si_snr(sources, estimates)[0, 0] == pytest.approx(100)
    assert np.isfinite(sdr(sources, estimates)).all()


def test_constant_signals_are_silent():
    assert is_silent(np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0, 0, 1e-9]])).tolist() == [True, True, False]
