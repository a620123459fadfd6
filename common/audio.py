"""Reading and writing audio files: one channel, any format that libsndfile knows, checked before it is believed.

A stretch of a file at another rate is resampled as LibriMix resamples, by `scipy.signal.resample_poly`, with enough of
its surroundings read that it equals the same stretch of the whole file.
"""

import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial

import numpy as np
import soundfile

from common.audio_file import AudioFile
from common.errors import UserError
from common.files import whole_file
from common.numbers import RATES, ceil_div, is_rate

# libsndfile shortens a wav, RF64, W64, AIFF or AU file that is cut, without an error, but says so in its log.
CUT_SHORT = re.compile(r"^ *(data|riff|Riff size|SSND|Data Size) *:.*should be", re.MULTILINE)
MOST_TERM = 2**16  # of a ratio of rates in lowest terms: resampling takes a filter of 20 times as many taps


@dataclass(frozen=True)
class AudioInfo:
    """What a file holds: `frames` samples at `sample_rate` Hz; and a `note` on it for a person, or ""."""

    frames: int
    sample_rate: int
    note: str = field(default="", compare=False, kw_only=True)

    def frames_at(self, sample_rate: int) -> int:
        """Samples the file has once it is resampled to `sample_rate` Hz: resample_poly rounds up."""
        return ceil_div(self.frames * sample_rate, self.sample_rate)


def audio_info(path: str | os.PathLike, channel: int | str | None = None) -> AudioInfo:
    """How long a file is, from its header where that vouches for it (see `AudioFile`).

    Args:
        path: of the file.
        channel: None: it must be mono; a number from 1: it must have that channel; "mix" or "all": it may have any
            number.

    Raises UserError, naming the file, if it is missing, is not audio, is cut short, is empty, has other channels or a
    rate that cannot be.
    """
    with AudioFile(path) as file:
        return checked_info(file, channel)


def checked_info(file: AudioFile, channel: int | str | None = None) -> AudioInfo:
    """The same as `audio_info`, from an open file."""
    path = file.name
    if not is_rate(file.samplerate):
        raise UserError(
            f"{path}: its header says {file.samplerate} Hz, which is not from {RATES[0]} to {RATES[1]}; it is damaged,"
            " copy it again or correct its rate"
        )
    if channel is None and file.channels != 1:
        raise UserError(f"{path}: {file.channels} channels, expected one; extract a channel or mix it down to mono")
    if channel not in (None, "mix", "all") and channel > file.channels:
        raise UserError(f"{path}: has no channel {channel}, only {file.channels}; take another --channel, or mix")
    if CUT_SHORT.search(file.log):
        raise UserError(
            f"{path}: cut short, its header promises more samples than it has; copy it again, or convert it anew if a"
            " program wrote it to a pipe"
        )
    if file.frames <= 0:
        raise UserError(f"{path}: empty, it has no samples")
    return AudioInfo(file.frames, file.samplerate, note=file.note)


def require_ratio(path: str | os.PathLike, rate: int, sample_rate: int) -> None:
    """Raise UserError if scipy's filter from a file's `rate` to `sample_rate` Hz would be huge."""
    up, down = (term // math.gcd(sample_rate, rate) for term in (sample_rate, rate))
    if max(up, down) > MOST_TERM:
        raise UserError(
            f"{path}: {rate} Hz, which is resampled to {sample_rate} Hz by {up}/{down}, and {MOST_TERM} is the most for"
            " either; convert it to a usual rate, such as 48000 Hz"
        )


def read_audio(
    path: str | os.PathLike,
    sample_rate: int,
    start: int = 0,
    length: int | None = None,
    expected: int | None = None,
    channel: int | str | None = None,
) -> np.ndarray:
    """Read samples `start` to `start + length` (default: to the end), counted at `sample_rate` Hz.

    Only the part of the file that is needed is decoded; a file at another rate is resampled. For `channel` see
    `audio_info`; "mix" gives the mean of all.

    Returns float32 [length], or [length, channels] for "all". Raises UserError as `audio_info` does, and if the stretch
    lies outside the file, cannot be resampled or holds NaN or infinite samples, or the whole file has not the
    `expected` samples at `sample_rate` Hz.
    """
    with AudioFile(path) as file:
        info = checked_info(file, channel)
        require_ratio(path, info.sample_rate, sample_rate)
        total = info.frames_at(sample_rate)
        if expected not in (None, total):
            raise UserError(
                f"{path}: has {total} samples at {sample_rate} Hz, but had {expected} when it was indexed; run"
                " preprocess.py again"
            )
        length = total - start if length is None else length
        if start < 0 or length < 0 or start + length > total:
            raise UserError(
                f"{path}: samples {start} to {start + length} at {sample_rate} Hz were asked for, but it has {total};"
                " it has changed since it was indexed, run preprocess.py again"
            )
        read = partial(decode_open, file, channel=channel or 1)
        return resampled(read, info, sample_rate, start, length)


@lru_cache(32)
def low_pass(up: int, down: int) -> np.ndarray:
    """The filter that `resample_poly` designs anew at each call for a ratio in lowest terms: float32 [taps]."""
    from scipy.signal import firwin  # takes half a second, for other rates alone

    highest = max(up, down)
    return firwin(20 * highest + 1, 1 / highest, window=("kaiser", 5.0)).astype(np.float32)


def resample_as_librimix(samples: np.ndarray, up: int, down: int) -> np.ndarray:
    """Resample float32 samples, [n] or [n, channels], by a ratio in lowest terms."""
    from scipy.signal import resample_poly  # as above

    return resample_poly(samples, up, down, window=low_pass(up, down))


def resampled(
    read: Callable[[int, int], np.ndarray],
    info: AudioInfo,
    sample_rate: int,
    start: int,
    length: int,
    resample: Callable[[np.ndarray, int, int], np.ndarray] = resample_as_librimix,
    reach: int = 10,
) -> np.ndarray:
    """Samples `start` to `start + length` of a signal, counted at `sample_rate` Hz, to which it is resampled.

    `read(first, stop)` gives the signal's own samples, [n] or [n, channels], which are described by `info` (AudioInfo).
    It is asked for no more of them than the stretch depends on. `resample(samples, up, down)` resamples; a sample that
    it gives depends on so many samples of the lower rate to each side, `reach`.

    Returns float32 [length] or [length, channels].
    """
    common = math.gcd(sample_rate, info.sample_rate)
    up, down = sample_rate // common, info.sample_rate // common
    # The filter reaches reach * max(up, down) samples of the up-sampled signal to each side. The part that is read
    # begins at a multiple of `down`, so that its output samples fall on those of the whole file.
    margin = 0 if up == down else reach * max(up, down) // up + 1
    first = max(0, start * down // up - margin) // down * down
    stop = min(info.frames, ceil_div((start + length) * down, up) + margin)
    samples = read(first, stop)
    if up != down:
        samples = resample(samples, up, down)
    offset = start - first * up // down
    return np.ascontiguousarray(samples[offset : offset + length])


def decode(path: str | os.PathLike, first: int, stop: int, channel: int | str = 1) -> np.ndarray:
    """Samples `first` to `stop` of a file, at its own rate: float32. For `channel` see `read_audio`.

    Raises UserError if the file is damaged there, or holds NaN or infinite samples.
    """
    with AudioFile(path) as file:
        return decode_open(file, first, stop, channel)


def decode_open(file: AudioFile, first: int, stop: int, channel: int | str = 1) -> np.ndarray:
    """The same as `decode`, from an open file."""
    path = file.name
    samples = file.read(first, stop)  # [frames, channels]
    if len(samples) != stop - first:
        raise UserError(
            f"{path}: cut short, {first + len(samples)} samples could be decoded of the {stop} promised; copy it again"
        )
    if channel != "all":
        samples = samples.mean(1) if channel == "mix" else samples[:, channel - 1]  # [frames]
    if not np.isfinite(samples).all():
        raise UserError(f"{path}: has NaN or infinite samples; repair or remove it")
    return samples


def write_wav(path: str | os.PathLike, samples: np.ndarray, sample_rate: int, subtype: str = "PCM_16") -> None:
    """Write float samples [T] as a wav file, whole or not at all.

    Raises UserError if the folder cannot be written or the disk is full.
    """
    with whole_file(path) as partial:
        soundfile.write(os.fsencode(partial), as_steps(samples, subtype), sample_rate, subtype=subtype, format="WAV")


def as_steps(samples: np.ndarray, subtype: str) -> np.ndarray:
    """Float samples as the integers that a PCM_16 or PCM_24 file keeps; for other subtypes they stay as they are.

    They are rounded here, to the nearest step: libsndfile would round them down. What is louder than full scale stops
    there.
    """
    bits = {"PCM_16": 16, "PCM_24": 24}.get(subtype)
    if bits is None:
        return samples
    full = 2 ** (bits - 1)
    steps = np.clip(np.rint(np.asarray(samples, np.float64) * full), -full, full - 1).astype(np.int32)
    return steps << 8 if bits == 24 else steps.astype(np.int16)  # libsndfile takes the upper 24 of 32 bits
