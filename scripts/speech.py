"""Speakers for the quick start's corpus: voices of a synthesiser, py-nanotts (SVOX Pico), and what they say.

Its package carries the voices of six women in five languages. Each also lends hers to a man: spoken lower and slower,
and stretched, which lengthens the vocal tract.
"""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pyloudnorm
import soundfile
from py_nanotts import NanoTTS
from scipy.signal import resample_poly

from common.files import whole_file

RATE = 16000
SYNTHESIS_VOLUME = 0.4  # louder, some vowels clip
SILENCE = 0.01
M_PERTURB = -6  # of glibc's malloc.h


@dataclass(frozen=True)
class Speaker:
    """A voice of the synthesiser, its pitch and speed (1: as recorded), and its vocal tract's length in percent."""

    number: int
    voice: str
    pitch: float
    speed: float
    tract: int


SPEAKERS = (
    Speaker(1, "en-US", 1.00, 1.00, 100),
    Speaker(2, "en-GB", 1.25, 1.10, 96),
    Speaker(3, "de-DE", 1.10, 1.05, 104),
    Speaker(4, "fr-FR", 1.28, 1.00, 95),
    Speaker(5, "it-IT", 1.15, 1.10, 100),
    Speaker(6, "es-ES", 1.20, 1.10, 98),
    Speaker(7, "en-US", 0.60, 1.05, 120),
    Speaker(8, "en-GB", 0.70, 0.95, 116),
    Speaker(9, "de-DE", 0.68, 1.00, 122),
    Speaker(10, "fr-FR", 0.75, 1.00, 117),
    Speaker(11, "it-IT", 0.77, 1.05, 118),
    Speaker(12, "es-ES", 0.60, 1.15, 121),
)


def speak(speaker: Speaker, text: str) -> np.ndarray:
    """Speak `text`, without the silence around it.

    A signal stretched to `tract` percent has its formants, its pitch and its speed divided by that; the latter two are
    asked of the synthesiser accordingly. Returns float32 [T], 16 kHz.
    """
    stretch = speaker.tract / 100
    with memory_cleared():
        pcm = NanoTTS().speak(
            text,
            voice=speaker.voice,
            pitch=speaker.pitch * stretch,
            speed=speaker.speed * stretch,
            volume=SYNTHESIS_VOLUME,
        )
    samples = np.frombuffer(pcm, "<i2").astype(np.float32) / 32768
    heard = np.flatnonzero(np.abs(samples) > SILENCE)
    return resample_poly(samples[heard[0] : heard[-1] + 1], speaker.tract, 100)


@contextmanager
def memory_cleared() -> Iterator[None]:
    """Where the C library is glibc, have it give out memory that is all zeros.

    The synthesiser reads memory that it has not written, so that a sentence sounds a little different after others.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is None:
        yield
        return
    set_option(M_PERTURB, 255)  # the bytes are its complement
    try:
        yield
    finally:
        set_option(M_PERTURB, 0)


def write_speech(path: str, speaker: Speaker, text: str) -> float:
    """Speak `text` into a FLAC file. Returns the loudness in LUFS of what is read from there."""
    with whole_file(path) as partial:
        soundfile.write(os.fsencode(partial), speak(speaker, text), RATE)
    return pyloudnorm.Meter(RATE).integrated_loudness(soundfile.read(path)[0])
