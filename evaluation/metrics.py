"""How good separated speech is: SI-SNR, SDR, STOI, PESQ, and which estimate is of which source.

SI-SNR and SDR are in decibels, limited to +-100 dB, so that a perfect or a silent estimate has a number too. A silent
source has no meaningful one: see `is_silent`. STOI, short-time objective intelligibility (Taal et al. 2011), goes from
0 to 1. PESQ is the listening quality of ITU-T P.862.1 (narrow band, at 8 kHz) or P.862.2 (wide band, at 16 kHz), from
1 to 4.6. STOI and PESQ need the packages pystoi and pesq.

MindSpore is not imported here: processes that only measure would load it for nothing.
"""

import warnings
from importlib import import_module

import numpy as np
from fast_bss_eval import sdr_loss

from common.errors import UserError
from common.estimates import best_permutation, require_finite

LIMIT_DB = 100
SDR_TAPS = 512
PACKAGES = {"stoi": "pystoi", "pesq": "pesq"}
PESQ_BANDS = {8000: "nb", 16000: "wb"}


def measure(mixture, sources, estimates, sample_rate, metrics=("si_snr",)):
    """Measure the estimates of one utterance, assigned to the sources by the highest SI-SNR.

    Args:
        mixture: [T].
        sources: [C, T].
        estimates: [C, T], in any order.
        sample_rate: in Hz.
        metrics: names, si_snr among them.

    Returns a dict of `permutation`, text, the number of the estimate of source 1, 2 ..., and for each metric the means
    over the sources NAME_mixture, NAME (of the estimates) and NAME_improvement, then the same of source 1, 2 ..., as
    NAME_mixture_1 and so on; None where there is no value, and everywhere if the mixture or a source is silent. Raises
    UserError if an estimate is not finite.
    """
    require_finite(estimates)
    if is_silent(np.vstack([mixture, sources])).any():
        return dict.fromkeys(columns(metrics, len(sources)))
    values = {"si_snr": si_snr(sources, np.vstack([estimates, mixture]))}  # [C, C + 1]
    permutation = best_permutation(values["si_snr"][:, :-1])
    if "sdr" in metrics:
        values["sdr"] = sdr(sources, np.vstack([estimates, mixture]))  # [C, C + 1]
    measured = {}  # from each metric to the values [C] of the mixture, of the estimates, and what they are apart
    for metric in metrics:
        if metric in values:
            before, after = values[metric][:, -1], values[metric][np.arange(len(sources)), permutation]
        else:
            one_pair = {"stoi": stoi, "pesq": pesq}[metric]
            before = np.array([one_pair(source, mixture, sample_rate) for source in sources])
            after = np.array(
                [one_pair(*pair, sample_rate) for pair in zip(sources, estimates[permutation], strict=True)]
            )
        measured[metric] = before, after, after - before
    numbers = [each.mean() for metric in metrics for each in measured[metric]]
    numbers += [each[source] for source in range(len(sources)) for metric in metrics for each in measured[metric]]
    order = " ".join(str(estimate + 1) for estimate in permutation)
    told = [None if np.isnan(number) else float(number) for number in numbers]
    return dict(zip(columns(metrics, len(sources)), [order, *told], strict=True))


def columns(metrics, speakers):
    """The keys of what `measure` gives, of so many sources."""
    names = [f"{metric}{what}" for metric in metrics for what in ("_mixture", "", "_improvement")]
    return ["permutation", *names, *(f"{name}_{source + 1}" for source in range(speakers) for name in names)]


def require_metrics(metrics, sample_rate):
    """Raise UserError unless these metrics can be computed here, for signals of so many Hz."""
    for metric in metrics:
        if metric in PACKAGES:
            try:
                import_module(PACKAGES[metric])
            except ImportError:
                raise UserError(
                    f"--metrics {metric}: needs {PACKAGES[metric]}; pip install {PACKAGES[metric]}, in a version of"
                    " requirements-extras.txt"
                ) from None
    if "pesq" in metrics and sample_rate not in PESQ_BANDS:
        raise UserError(
            f"--metrics pesq: is defined at 8000 and 16000 Hz, but the network works at {sample_rate}; leave pesq out"
        )


def si_snr(sources, signals):
    """Scale-invariant signal-to-noise ratio (Luo and Mesgarani 2019, section II-D; the means are removed first).

    Args:
        sources: true ones [C, T].
        signals: what to compare with each of them [S, T].

    Returns dB [C, S], float64.
    """
    return -sdr_loss(
        _scaled(signals), _scaled(sources), filter_length=1, zero_mean=True, pairwise=True, clamp_db=LIMIT_DB
    )


def sdr(sources, signals):
    """Signal-to-distortion ratio of BSS Eval (Vincent et al. 2006): a filter of 512 taps on a source is forgiven.

    Takes and returns what `si_snr` does.
    """
    # fast_bss_eval's correlations wrap around where signals are shorter than the filter.
    padding = ((0, 0), (0, max(0, SDR_TAPS - sources.shape[-1])))
    sources, signals = np.pad(_scaled(sources), padding), np.pad(_scaled(signals), padding)
    return -sdr_loss(signals, sources, filter_length=SDR_TAPS, pairwise=True, clamp_db=LIMIT_DB)


def stoi(source, signal, sample_rate):
    """STOI of a signal [T] against a source [T] (Taal et al. 2011); NaN if less than about 0.4 s of it is speech."""
    import pystoi

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)  # with which pystoi gives 1e-5, for too little speech
            return pystoi.stoi(source, signal, sample_rate)
    except (RuntimeWarning, ValueError):  # numpy's, of a signal without a single frame
        return np.nan


def pesq(source, signal, sample_rate):
    """PESQ (MOS-LQO) of a signal [T] against a source [T]; NaN if there is less than 0.25 s, no speech, or silence."""
    import pesq

    try:
        return pesq.pesq(sample_rate, source, signal, PESQ_BANDS[sample_rate])
    except (pesq.PesqError, ValueError):  # ValueError: the signal is silent
        return np.nan


def is_silent(signals):
    """Which of the signals [S, T] are constant, so that no SI-SNR against them exists: bool [S]."""
    return np.ptp(signals, axis=-1) == 0


def _scaled(signals):
    """Peaks of 1 in float64: fast_bss_eval takes what is quieter than 1e-6 for silence."""
    signals = np.asarray(signals, np.float64)
    return signals / np.maximum(np.abs(signals).max(axis=-1, keepdims=True), np.finfo(np.float64).tiny)
