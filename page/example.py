"""The recording that comes along: two voices that are made here, and talk at once in no language.

A voice is a sum of the harmonics of its pitch, as loud as the formants of the vowel are at their frequencies, after
Peterson and Barney's measurements (1952); between the vowels there are hisses. So nobody's speech is needed.
"""

import os

import numpy as np

from common.audio import write_wav

RATE = 16000
SECONDS = 6.0
VOWELS = np.array(  # Hz: the first three formants of a man's i, e, a, o, u
    [(270, 2290, 3010), (530, 1840, 2480), (730, 1090, 2440), (570, 840, 2410), (300, 870, 2240)], float
)
BANDWIDTHS = np.array([90.0, 110.0, 170.0])  # Hz
SYLLABLE = (0.14, 0.3)  # seconds, from the shortest to the longest
LEVEL = 0.08  # root mean square of a voice


def write_example(folder: str) -> str:
    """Write the example into a folder, as a wav file, unless it is there. Returns its path."""
    path = os.path.join(folder, "example.wav")
    if not os.path.exists(path):
        write_wav(path, np.sum(voices(), axis=0), RATE)
    return path


def voices() -> list[np.ndarray]:
    """The two voices, float [T] each, at RATE: a man's, and a woman's with a shorter vocal tract."""
    return [voice(105, 1.0, seed=1), voice(205, 1.17, seed=2)]


def voice(pitch: float, tract: float, seed: int) -> np.ndarray:
    """One voice, float [T].

    Args:
        pitch: its mean, in Hz.
        tract: what the formants are multiplied by.
        seed: of what it says.
    """
    random, samples = np.random.default_rng(seed), round(SECONDS * RATE)
    vowel, loudness, hiss = (np.zeros((samples, 3)), np.zeros(samples), np.zeros(samples))
    at = round(random.uniform(0.05, 0.3) * RATE)
    while at < samples:
        length = round(random.uniform(*SYLLABLE) * RATE)
        lead = round(random.uniform(0.03, 0.07) * RATE)  # of the hiss before the vowel
        bump = np.sin(np.pi * np.arange(length) / length) ** 0.5
        begin, end = VOWELS[random.integers(len(VOWELS), size=2)]
        part = slice(at, at + length)
        glide = np.linspace(0, 1, length)[: len(loudness[part]), np.newaxis]
        vowel[part] = (1 - glide) * begin + glide * end
        loudness[part] = random.uniform(0.5, 1) * bump[: len(loudness[part])]
        before = slice(max(0, at - lead), at)
        hiss[before] = random.uniform(0.02, 0.1)
        at += length + lead + (round(random.uniform(0.2, 0.5) * RATE) if random.random() < 0.2 else 0)
    time = np.arange(samples) / RATE
    melody = 1 + 0.12 * np.sin(2 * np.pi * 0.45 * time + seed) + 0.05 * np.sin(2 * np.pi * 1.7 * time)
    frequency = pitch * melody  # [T]
    phase = 2 * np.pi * np.cumsum(frequency) / RATE
    sound = np.zeros(samples)
    for harmonic in range(1, int(4000 / pitch)):
        sound += response(harmonic * frequency, tract * vowel) / harmonic * np.sin(harmonic * phase)
    sound *= loudness
    noise = np.diff(random.normal(size=samples + 1)) * hiss * sound.std()
    sound += 4 * noise
    return LEVEL / sound.std() * sound


def response(frequency: np.ndarray, formants: np.ndarray) -> np.ndarray:
    """How loud a vocal tract with these formants, in Hz, [T, 3], makes a frequency [T] in Hz: [T]."""
    squares = frequency[:, np.newaxis] ** 2  # [T, 1]
    return np.prod(formants**2 / np.sqrt((formants**2 - squares) ** 2 + squares * BANDWIDTHS**2 + 1e-3), axis=1)
