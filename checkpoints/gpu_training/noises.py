"""Noises at 8 kHz, made of random numbers, of other people's speech and of a recording of a kitchen.

Every kind is a function of a `numpy.random.Generator` and of the samples that it shall last; all they give is float64
of a mean square of 1.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.signal import resample_poly

from checkpoints.gpu_training.options import RATE

SECONDS = 24  # of a noise; those of the kitchen are as long as the recording
HIGHEST = 3900  # Hz of a tone
LEVEL = 0.05  # root of the mean square of a noise that is packed, of full scale
# Speeds of the kitchen, which move its sounds up or down: from so many samples, so many.
SPEEDS = [(1, 1), (19, 20), (20, 19), (9, 10), (10, 9), (5, 6), (6, 5)]
COUNTS = {"kitchen": 40, "coloured": 20, "modulated": 40, "clatter": 40, "hum": 15, "babble": 60, "mixed": 60}


def unit(x: np.ndarray) -> np.ndarray:
    """x with a mean square of 1."""
    return x / (np.sqrt(np.mean(x**2)) + 1e-12)


def at_level(x: np.ndarray) -> np.ndarray:
    """A noise at LEVEL, as int16."""
    return np.rint(np.clip(unit(x) * LEVEL, -0.99, 0.99) * 32768).astype(np.int16)


def make_noises(
    utterances: Sequence[np.ndarray], kitchen: np.ndarray | None, share: float = 1.0
) -> Iterator[np.ndarray]:
    """Make the noises of a training one by one, as int16.

    Args:
        utterances: int16, to make babble of.
        kitchen: the recording, float [samples]; None leaves its noises out.
        share: of COUNTS to make, at least one of each kind.
    """
    makers = {"coloured": coloured, "modulated": modulated, "clatter": clatter, "hum": hum}
    makers["babble"] = lambda random, samples: babble(random, samples, utterances)
    plain = tuple(makers.values())
    makers["mixed"] = lambda random, samples: mixed(random, samples, plain)
    makers["kitchen"] = lambda random, samples: in_another_kitchen(random, kitchen)
    for number, (kind, count) in enumerate(COUNTS.items()):
        if kind != "kitchen" or kitchen is not None:
            for each in range(max(1, int(count * share))):
                yield at_level(makers[kind](np.random.default_rng(1000 * number + each), SECONDS * RATE))


def _bumps(
    random: np.random.Generator, frequencies: np.ndarray, most: int, height: float, narrowest: float
) -> np.ndarray:
    """What `most` broad bumps and dips or fewer, of `height` dB at most, do to a spectrum."""
    factor = np.ones(len(frequencies))
    octaves = np.log2(np.maximum(frequencies, 20))
    for _ in range(random.integers(0, most)):
        decibels = random.uniform(-height, height)
        centre = np.log2(random.uniform(100, 3500))
        width = random.uniform(narrowest, 1)  # octaves
        factor *= 10 ** (decibels / 20 * np.exp(-0.5 * ((octaves - centre) / width) ** 2))
    return factor


def coloured(random: np.random.Generator, samples: int) -> np.ndarray:
    """Steady noise between white and a bit darker than brown, with up to four broad bumps."""
    frequencies = np.fft.rfftfreq(samples, 1 / RATE)
    magnitudes = np.maximum(frequencies, 40.0) ** (-random.uniform(0, 2.2) / 2)
    magnitudes *= _bumps(random, frequencies, 5, 12, 0.15)
    magnitudes[frequencies < 30] = 0
    white = random.standard_normal(len(frequencies)) + 1j * random.standard_normal(len(frequencies))
    return unit(np.fft.irfft(magnitudes * white, samples))


def modulated(random: np.random.Generator, samples: int) -> np.ndarray:
    """The same, its level going up and down by up to 12 dB, 0.3 to 8 times a second."""
    noise = coloured(random, samples)
    turns = max(4, int(samples / RATE * random.uniform(0.3, 8)))
    levels = random.uniform(-1, 1, turns + 1) * random.uniform(3, 12)  # dB
    return unit(noise * 10 ** (np.interp(np.linspace(0, turns, samples), np.arange(turns + 1), levels) / 20))


def clatter(random: np.random.Generator, samples: int) -> np.ndarray:
    """Blows, 1 to 6 a second: a few tones and noise that die away, as of dishes and doors."""
    noise = 0.15 * random.uniform(0, 1) * coloured(random, samples)
    for _ in range(int(samples / RATE * random.uniform(1, 6))):
        times = np.arange(int(RATE * random.uniform(0.03, 0.5))) / RATE
        decay = times[-1] / random.uniform(3, 7)
        blow = sum(
            random.uniform(0.2, 1) * np.sin(2 * np.pi * random.uniform(200, HIGHEST) * times + random.uniform(0, 6))
            for _ in range(random.integers(1, 7))
        )
        blow = blow + random.uniform(0, 2) * random.standard_normal(len(times))
        blow = blow * np.exp(-times / decay) * 10 ** (random.uniform(-15, 5) / 20)
        start = random.integers(0, samples - len(times))
        noise[start : start + len(times)] += blow
    return unit(noise)


def hum(random: np.random.Generator, samples: int) -> np.ndarray:
    """A wavering tone of 48 to 240 Hz with its harmonics, over modulated noise: motors, fans, transformers."""
    lowest = random.uniform(48, 240)
    times = np.arange(samples) / RATE
    wavering = 1 + 0.02 * random.uniform() * np.sin(2 * np.pi * random.uniform(0.05, 2) * times)
    phase = 2 * np.pi * lowest * np.cumsum(wavering) / RATE
    tone = sum(
        10 ** (random.uniform(-25, 0) / 20) * harmonic ** -random.uniform(0, 1)
        * np.sin(harmonic * phase + random.uniform(0, 6))
        for harmonic in range(1, int(HIGHEST / lowest) + 1)
        if random.uniform() < 0.7
    )  # fmt: skip
    return unit(unit(tone) + random.uniform(0.1, 1.5) * modulated(random, samples))


def babble(random: np.random.Generator, samples: int, utterances: Sequence[np.ndarray]) -> np.ndarray:
    """6 to 24 voices at once, mostly in a room, over a bit of coloured noise."""
    noise = np.zeros(samples)
    for _ in range(random.integers(6, 25)):
        voice = utterances[random.integers(len(utterances))].astype(float)
        voice = np.tile(voice, samples // len(voice) + 2)
        start = random.integers(0, len(voice) - samples)
        noise += unit(voice[start : start + samples]) * 10 ** (random.uniform(-8, 0) / 20)
    if random.uniform() < 0.6:
        length = int(random.uniform(0.2, 0.9) * RATE)
        echo = random.standard_normal(length) * np.exp(-6.9 * np.arange(length) / length)
        size = 1 << (samples + length).bit_length()
        noise = np.fft.irfft(np.fft.rfft(noise, size) * np.fft.rfft(echo, size), size)[:samples]
    return unit(noise + random.uniform(0, 0.4) * coloured(random, samples) * np.std(noise))


def in_another_kitchen(random: np.random.Generator, recording: np.ndarray) -> np.ndarray:
    """A recording [samples] faster or slower, brighter or duller: it may last a bit longer or shorter."""
    noise = resample_poly(recording, *SPEEDS[random.integers(len(SPEEDS))])
    frequencies = np.fft.rfftfreq(len(noise), 1 / RATE)
    magnitudes = np.maximum(frequencies, 60.0) ** random.uniform(-0.35, 0.35)
    magnitudes *= _bumps(random, frequencies, 3, 10, 0.2)
    return unit(np.fft.irfft(np.fft.rfft(noise) * magnitudes, len(noise)))


def mixed(random: np.random.Generator, samples: int, makers: Sequence) -> np.ndarray:
    """Two of the kinds together, up to 9 dB apart, as in streets and cafes."""
    first, second = random.choice(len(makers), 2, replace=False)
    noise = makers[first](random, samples)
    return unit(noise + 10 ** (random.uniform(-9, 9) / 20) * makers[second](random, samples))
