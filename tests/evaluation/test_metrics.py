"""evaluation/metrics.py against the formulas written out, and against mir_eval."""

import itertools

import mir_eval
import numpy as np
import pytest
from formulas import paper_si_snr

from common.errors import UserError
from common.estimates import best_permutation, is_silent
from evaluation.bursts import most_bursts
from evaluation.metrics import measure, pesq, sdr, si_snr

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


def tone_bursts(seconds, on, off, rate=8000):
    time = np.arange(seconds * rate) / rate
    return 0.1 * np.sin(2 * np.pi * 700 * time) * (time % (on + off) < on)


@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("hum", [0, 0.1])
def test_bursts_of_speech_are_counted(rate, hum):
    for seconds, on, off, expected in ((29, 0.2, 0.22, 69), (10, 0.5, 0.5, 10), (10, 0.5, 0.1, 1), (10, 0.1, 0.5, 0)):
        bursts = tone_bursts(seconds, on, off, rate)
        hummed = bursts + hum * np.sin(2 * np.pi * 50 * np.arange(len(bursts)) / rate)
        assert (most_bursts(hummed, rate) == expected) or (hum and most_bursts(hummed, rate) >= expected)
    assert most_bursts(np.zeros(rate), rate) == most_bursts(np.zeros(3), rate) == 0


@pytest.mark.parametrize("seconds, on, off", [(29, 0.2, 0.22), (150, 1.0, 1.0)])
def test_pesq_of_more_bursts_than_its_library_holds_is_not_asked_for(seconds, on, off):
    pytest.importorskip("pesq")
    source = tone_bursts(seconds, on, off)
    noisy = source + 0.01 * random.normal(size=len(source))
    with pytest.raises(UserError, match=rf"{seconds} s with up to \d+ bursts of speech"):
        pesq(source, noisy, 8000)
    scores = measure(
        source + noisy[::-1], np.stack([source, noisy[::-1]]), np.stack([noisy, source]), 8000, ["si_snr", "pesq"]
    )
    assert np.isnan(scores.sources["pesq"].estimate[0]) and "bursts" in scores.failures["pesq"]
    assert np.isfinite(scores.sources["si_snr"].improvement).all()


@pytest.mark.parametrize("metric", ["sdr", "stoi", "pesq"])
def test_a_metric_that_raises_costs_itself_alone(monkeypatch, metric):
    sources, estimates = signals(2, 4000)
    monkeypatch.setattr(f"evaluation.metrics.{metric}", lambda *_: 1 // 0)
    scores = measure(sources.sum(0), sources, estimates, 8000, ["si_snr", metric])
    assert scores.failures == {metric: "integer division or modulo by zero"}
    assert np.isnan(scores.sources[metric]).all() and np.isfinite(scores.sources["si_snr"]).all()


def test_without_si_snr_there_are_no_values(monkeypatch):
    sources, estimates = signals(2, 4000)
    monkeypatch.setattr("evaluation.metrics.si_snr", lambda *_: 1 // 0)
    scores = measure(sources.sum(0), sources, estimates, 8000, ["si_snr", "sdr"])
    assert scores.silent and scores.failures.keys() == {"si_snr"} and np.isnan(scores.sources["sdr"]).all()
