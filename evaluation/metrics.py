"""How good separated speech is: SI-SNR, SDR, STOI, PESQ, and which estimate is of which source.

SI-SNR and SDR are in decibels, limited to +-100 dB, so that a perfect or a silent estimate has a number too. A silent
source has no meaningful one: see `common.estimates.is_silent`. STOI, short-time objective intelligibility (Taal et al.
2011), goes from 0 to 1. PESQ is the listening quality of ITU-T P.862.1 (narrow band, at 8 kHz) or P.862.2 (wide band,
at 16 kHz), from 1 to 4.6. STOI and PESQ need the packages pystoi and pesq.

MindSpore is not imported here: processes that only measure would load it for nothing. What takes a second to import is
imported where it is called, so that a script which leaves the measuring to others does without.
"""

import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from importlib import import_module

import numpy as np

from common.errors import UserError, first_line
from common.estimates import best_permutation, is_silent, require_finite
from evaluation.bursts import most_bursts
from evaluation.scores import Scores, Values

LIMIT_DB = 100
SDR_TAPS = 512
PACKAGES = {"stoi": "pystoi", "pesq": "pesq"}
PESQ_BANDS = {8000: "nb", 16000: "wb"}
PESQ_BURSTS = 45  # of speech; the library breaks at more than 50


def measure(
    mixture: np.ndarray,
    sources: np.ndarray,
    estimates: np.ndarray,
    sample_rate: int,
    metrics: Sequence[str] = ("si_snr",),
) -> Scores:
    """Measure the estimates of one mixture, assigned to the sources by the highest SI-SNR.

    Args:
        mixture: [T].
        sources: [C, T].
        estimates: [C, T], in any order.
        sample_rate: in Hz.
        metrics: names, si_snr among them.

    Returns the scores, without a name. A metric that fails has no values, and `failures` says why. Raises UserError if
    an estimate is not finite.
    """
    require_finite(estimates)
    seconds = len(mixture) / sample_rate
    if is_silent(np.vstack([mixture, sources])).any():
        return without_values(len(sources), metrics, seconds)
    signals = np.vstack([estimates, mixture])  # [C + 1, T]
    failures = {}

    def attempt(metric: str, function: Callable, *arguments, missing: np.ndarray | float):
        try:
            return function(*arguments)
        except Exception as error:  # whatever a library raises, the other metrics have their values
            failures[metric] = first_line(error)
            return missing

    no_pairs = np.full((len(sources), len(signals)), np.nan)
    pairs = {"si_snr": attempt("si_snr", si_snr, sources, signals, missing=no_pairs)}  # of each source and signal
    if failures:
        return without_values(len(sources), metrics, seconds, failures)
    permutation = best_permutation(pairs["si_snr"][:, :-1])
    if "sdr" in metrics:
        pairs["sdr"] = attempt("sdr", sdr, sources, signals, missing=no_pairs)
    values = {}
    for metric in metrics:
        if metric in pairs:  # [C, C + 1]
            before, after = pairs[metric][:, -1], pairs[metric][np.arange(len(sources)), permutation]  # [C] each
        else:
            one_pair = {"stoi": stoi, "pesq": pesq}[metric]
            before, after = (
                np.array(
                    [
                        attempt(metric, one_pair, source, signal, sample_rate, missing=np.nan)
                        for source, signal in zip(sources, compared, strict=True)
                    ]
                )
                for compared in (np.broadcast_to(mixture, sources.shape), estimates[permutation])
            )
        values[metric] = Values(before, after, after - before)
    return Scores(tuple(permutation.tolist()), values, seconds, failures=failures)


def without_values(C: int, metrics: Sequence[str], seconds: float, failures: dict[str, str] | None = None) -> Scores:
    """Scores of a mixture of C sources without an SI-SNR, so that nothing can be said of it."""
    no_values = np.full(C, np.nan)  # [C]
    values = dict.fromkeys(metrics, Values(no_values, no_values, no_values))
    return Scores(None, values, seconds, failures=failures or {})


def require_metrics(metrics: Iterable[str], sample_rate: int) -> None:
    """Raise UserError unless these metrics can be computed here, for signals of so many Hz."""
    for metric in metrics:
        if metric in PACKAGES:
            try:
                import_module(PACKAGES[metric])
            except ImportError:
                raise UserError(
                    f"--metrics {metric}: needs {PACKAGES[metric]}; pip install {PACKAGES[metric]}, in a version of"
                    " requirements/extras.txt"
                ) from None
    if "pesq" in metrics and sample_rate not in PESQ_BANDS:
        raise UserError(
            f"--metrics pesq: is defined at 8000 and 16000 Hz, but the network works at {sample_rate}; leave pesq out"
        )


def si_snr(sources: np.ndarray, signals: np.ndarray) -> np.ndarray:
    """Scale-invariant signal-to-noise ratio (Luo and Mesgarani 2019, section II-D; the means are removed first).

    Args:
        sources: true ones [C, T].
        signals: what to compare with each of them [S, T].

    Returns dB [C, S], float64.
    """
    return -_sdr_loss()(
        _scaled(signals), _scaled(sources), filter_length=1, zero_mean=True, pairwise=True, clamp_db=LIMIT_DB
    )


def sdr(sources: np.ndarray, signals: np.ndarray) -> np.ndarray:
    """Signal-to-distortion ratio of BSS Eval (Vincent et al. 2006): a filter of 512 taps on a source is forgiven.

    Takes and returns what `si_snr` does.
    """
    # fast_bss_eval's correlations wrap around where signals are shorter than the filter.
    padding = ((0, 0), (0, max(0, SDR_TAPS - sources.shape[-1])))
    sources, signals = np.pad(_scaled(sources), padding), np.pad(_scaled(signals), padding)
    return -_sdr_loss()(signals, sources, filter_length=SDR_TAPS, pairwise=True, clamp_db=LIMIT_DB)


def stoi(source: np.ndarray, signal: np.ndarray, sample_rate: int) -> float:
    """STOI of a signal [T] against a source [T] (Taal et al. 2011); NaN if less than about 0.4 s of it is speech."""
    import pystoi

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)  # with which pystoi gives 1e-5, for too little speech
            return pystoi.stoi(source, signal, sample_rate)
    except (RuntimeWarning, ValueError):  # numpy's, of a signal without a single frame
        return np.nan


def pesq(source: np.ndarray, signal: np.ndarray, sample_rate: int) -> float:
    """PESQ (MOS-LQO) of a signal [T] against a source [T]; NaN if there is less than 0.25 s, no speech, or silence.

    Raises UserError if there may be more bursts of speech than the library has room for.
    """
    import pesq

    if (bursts := most_bursts(source, sample_rate)) > PESQ_BURSTS:
        raise UserError(
            f"{len(source) / sample_rate:.0f} s with up to {bursts} bursts of speech, of which PESQ's library holds 50"
            " (P.862 is meant for 8 to 30 s)"
        )
    try:
        return pesq.pesq(sample_rate, source, signal, PESQ_BANDS[sample_rate])
    except (pesq.PesqError, ValueError):  # ValueError: the signal is silent
        return np.nan


@cache
def _sdr_loss() -> Callable[..., np.ndarray]:
    """fast_bss_eval's, in numpy. By itself it would import PyTorch, wherever that is installed, for seconds."""
    hides = "torch" not in sys.modules
    if hides:
        sys.modules["torch"] = None
    try:
        from fast_bss_eval.numpy import sdr_loss
    finally:
        if hides:
            del sys.modules["torch"]
    return sdr_loss


def _scaled(signals: np.ndarray) -> np.ndarray:
    """Peaks of 1 in float64: fast_bss_eval takes what is quieter than 1e-6 for silence."""
    signals = np.asarray(signals, np.float64)
    return signals / np.maximum(np.abs(signals).max(axis=-1, keepdims=True), np.finfo(np.float64).tiny)
