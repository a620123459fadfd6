"""recordings/offset.py: a live stream loses its offset, and without one it passes unchanged."""

import numpy as np
import pytest

from recordings.offset import OffsetFilter

RATE = 8000


def voice(seconds=3):
    """A quiet beginning of 0.2 s, then a tone of 100 Hz with overtones."""
    time = np.arange(seconds * RATE) / RATE
    tones = sum(0.1 / k * np.sin(2 * np.pi * 100 * k * time + k) for k in range(1, 6))
    noise = 1e-4 * np.random.default_rng(0).standard_normal(len(time))
    return (noise + tones * (time > 0.2)).astype(np.float32)


@pytest.mark.parametrize("offset", [0.01, 0.2, -0.7])
def test_an_offset_is_taken_off_soon(offset):
    found, expected = OffsetFilter(RATE)(voice() + np.float32(offset)), voice()
    assert np.abs(found - expected)[RATE // 50 : RATE // 5].max() < 1e-4
    error = (found - expected)[RATE // 50 :]
    assert 10 * np.log10(np.mean(error**2) / np.mean(expected**2)) < -30  # the high-pass, at 100 Hz


def test_an_offset_that_drifts_is_followed():
    drift = np.linspace(0.1, 0.3, 3 * RATE).astype(np.float32)
    found = OffsetFilter(RATE)(voice() + drift)
    assert abs((found - voice())[RATE:].mean()) < 0.02


@pytest.mark.parametrize("begin", [0, RATE // 5])
def test_a_stream_without_an_offset_is_unchanged(begin):
    np.testing.assert_array_equal(OffsetFilter(RATE)(voice()[begin:]), voice()[begin:])
    np.testing.assert_array_equal(OffsetFilter(RATE)(np.zeros(RATE, np.float32)), 0)


def test_chunks_of_any_size_lose_the_same():
    samples = voice() + np.float32(0.1)
    expected = OffsetFilter(RATE)(samples)
    chunks = OffsetFilter(RATE)
    for sizes in [1, 7, 0, 400, 399, 3, 9000], [160] * 60:
        cut = np.split(samples, np.cumsum(sizes))
        np.testing.assert_allclose(np.concatenate([chunks(chunk) for chunk in cut]), expected, atol=1e-6)
        chunks.reset()
