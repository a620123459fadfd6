"""recordings/resampling.py: any stretch is that of the whole, of exact length, flat to 0.45 of the rate, no aliases."""

import sys

import numpy as np
import pytest

from common.audio import AudioInfo
from recordings.resampling import at_rate

PAIRS = [pair for rate in (7999, 11025, 16000, 22050, 44100, 48000) for pair in ((rate, 8000), (8000, rate))]


def tone(frequency, sample_rate):
    """Two seconds of a tone of level 0 dB."""
    return np.sin(2 * np.pi * frequency * np.arange(2 * sample_rate) / sample_rate).astype(np.float32)


def whole(samples, rate, new_rate):
    info = AudioInfo(len(samples), rate)
    return at_rate(new_rate, lambda first, stop: samples[first:stop], info)(0, info.frames_at(new_rate))


def spectrum(samples, sample_rate):
    """Levels in dB, 0 of a tone of amplitude 1, and their frequencies; the ends, where a tone begins, left out."""
    inside = samples[sample_rate // 4 : -sample_rate // 4].astype(np.float64)
    window = np.blackman(len(inside))
    levels = 20 * np.log10(np.abs(np.fft.rfft(inside * window)) / (window.sum() / 2) + 1e-12)
    return np.fft.rfftfreq(len(inside), 1 / sample_rate), levels


@pytest.mark.parametrize(("rate", "new_rate"), PAIRS)
def test_lengths_are_exact_to_the_sample(rate, new_rate):
    for samples in (1, 2, 5, 799, 9001):
        found = whole(np.ones(samples, np.float32), rate, new_rate)
        assert found.shape == (-(-samples * new_rate // rate),) and found.dtype == np.float32
        found = whole(np.ones((samples, 3), np.float32), rate, new_rate)
        assert found.shape == (-(-samples * new_rate // rate), 3)


@pytest.mark.parametrize(("rate", "new_rate"), PAIRS)
def test_a_stretch_is_that_of_the_whole_and_reads_no_more_than_it_needs(rate, new_rate):
    random = np.random.default_rng(0)
    samples = random.uniform(-0.5, 0.5, (10 * rate + 1, 2)).astype(np.float32)
    expected, asked = whole(samples, rate, new_rate), []

    def read(first, stop):
        asked.append(stop - first)
        return samples[first:stop]

    info = AudioInfo(len(samples), rate)
    stretch, total = at_rate(new_rate, read, info), info.frames_at(new_rate)
    for start, length in ((0, 1), (0, 700), (1, 700), (54321, 1), (33333, 4001), (total - 100, 100), (total, 0)):
        found = stretch(start, length)
        assert found.shape == (length, 2) and found.dtype == np.float32
        np.testing.assert_allclose(found, expected[start : start + length], atol=1e-5)
    assert max(asked) < (1 + 4001 / new_rate) * rate + 1000


@pytest.mark.parametrize(("rate", "new_rate"), PAIRS)
def test_what_both_rates_carry_passes_in_its_place(rate, new_rate):
    for part in (0.01, 0.25, 0.45):
        frequency = part * min(rate, new_rate)
        inside = slice(new_rate // 4, -new_rate // 4)
        found, expected = whole(tone(frequency, rate), rate, new_rate)[inside], tone(frequency, new_rate)[inside]
        assert abs(20 * np.log10(np.linalg.norm(found) / np.linalg.norm(expected))) < 0.02
        np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize(("rate", "new_rate"), [pair for pair in PAIRS if pair[0] > 1.1 * pair[1]])
@pytest.mark.parametrize("part", [0.505, 0.55, 0.6, 0.68, 0.95])  # of the new rate
def test_what_the_new_rate_cannot_carry_leaves_no_alias(rate, new_rate, part):
    frequency = min(part * new_rate, 0.499 * rate)
    _, levels = spectrum(whole(tone(frequency, rate), rate, new_rate), new_rate)
    assert levels.max() < -100


@pytest.mark.parametrize(("rate", "new_rate"), [pair for pair in PAIRS if pair[0] < pair[1]])
@pytest.mark.parametrize("part", [0.05, 0.3, 0.45, 0.495])
def test_nothing_appears_above_what_the_old_rate_carried(rate, new_rate, part):
    frequencies, levels = spectrum(whole(tone(part * rate, rate), rate, new_rate), new_rate)
    assert levels[frequencies > rate / 2 + 10].max(initial=-np.inf) < -100


@pytest.mark.parametrize("rate", [1, 100, 192000, 655350])
def test_rates_from_one_to_the_highest(rate):
    for pair in ((rate, 8000), (8000, rate)):
        found = whole(np.full(3 * pair[0], 0.5, np.float32), *pair)
        assert len(found) == 3 * pair[1] and np.isfinite(found).all() and np.abs(found).max() < 1


def test_soxr_is_imported_only_where_rates_differ(monkeypatch):
    monkeypatch.setitem(sys.modules, "soxr", None)
    samples = np.arange(100, dtype=np.float32)
    np.testing.assert_array_equal(whole(samples, 8000, 8000), samples)
    with pytest.raises(ImportError):
        whole(samples, 8000, 16000)
