"""page/example.py: the recording that comes along."""

from device import load_to_separate

import numpy as np
import soundfile
from formulas import paper_si_snr

from network.checkpoint import path_or_shipped
from page.example import RATE, SECONDS, voices, write_example
from separate import separate


def test_is_the_same_each_time_and_not_clipped(tmp_path):
    samples, rate = soundfile.read(write_example(str(tmp_path)))
    assert rate == RATE and len(samples) == SECONDS * RATE and np.abs(samples).max() < 0.99
    np.testing.assert_allclose(samples, np.sum(voices(), axis=0), atol=1e-4)


def test_the_shipped_network_separates_it():
    """By 5 dB or more each; it is 7.9."""
    sources = voices()
    mixture = np.sum(sources, axis=0)
    estimates = separate(load_to_separate(path_or_shipped(None), "CPU")[0], mixture, RATE)
    either = [
        min(paper_si_snr(source, estimate) for source, estimate in zip(sources, order, strict=True))
        for order in (estimates, estimates[::-1])
    ]
    assert max(either) - max(paper_si_snr(source, mixture) for source in sources) > 5
