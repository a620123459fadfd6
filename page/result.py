"""Separates a recording that somebody gave to the page, by separate.py's own way, and says what was done."""

import io
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass
from types import SimpleNamespace

from device import Network

import numpy as np
import soundfile

from common.audio import AudioInfo
from common.wording import count_of, duration
from recordings.inputs import BLOCK, Recording, recording_from_file, stretch_reader
from recordings.outputs import FINER, write_wavs
from recordings.pieces import OVERLAP_SECONDS, piece_length, piece_starts
from recordings.resampling import at_rate
from recordings.separation import separate_recording

CHANNEL = "mix"  # what is separated: the mean of all


@dataclass(frozen=True)
class Signal:
    """The mixture or an estimate: its name, a wav file, a picture as a data URI, and its level in dB of full scale."""

    name: str
    path: str
    picture: str
    level: float


@dataclass(frozen=True)
class Result:
    """What was made of a recording.

    Attributes:
        name: of the recording.
        signals: the mixture, as it was separated, and the estimates.
        seconds: how long each is.
        sample_rate: up to half of which the pictures go, in Hz.
        done: what was done, in short sentences.
        notes: what separate.py would print of this recording.
    """

    name: str
    signals: list[Signal]
    seconds: float
    sample_rate: int
    done: list[str]
    notes: list[str]


def separate_into(folder: str, path: str, net: Network, advance: Callable[[float], object]) -> Result:
    """Separate a file.

    Args:
        folder: empty, for the wav files.
        path: of the recording.
        net: from `device.load_to_separate`.
        advance: is called with the part that is separated, from 0 to 1, and again and again.

    Raises UserError as separate.py does, in its words.
    """
    name = os.path.basename(path)
    stem = os.path.splitext(name)[0]
    targets = [os.path.join(folder, f"{stem}_s{number}.wav") for number in range(1, net.options.C + 1)]
    mixture = os.path.join(folder, f"{stem}_mixture.wav")
    printed, began = io.StringIO(), time.monotonic()
    with ExitStack() as copies, redirect_stdout(printed):
        recording = recording_from_file(path, targets, None, CHANNEL, copies, name)
        piece = piece_length(recording.frames_at(net.sample_rate), net.sample_rate)
        separate_recording(net, recording, CHANNEL, None, piece, progress(recording, advance))
        write_wavs([mixture], recording, mixed(recording), FINER.get(recording.subtype, "PCM_16"))
    paths, took = [mixture, *targets], time.monotonic() - began
    names = ["Mixture", *(f"Speaker {number}" for number in range(1, net.options.C + 1))]
    return Result(
        name,
        [Signal(*each) for each in zip(names, paths, pictures(paths, net.sample_rate), levels(paths), strict=True)],
        recording.frames / recording.sample_rate,
        net.sample_rate,
        what_was_done(recording, net, piece, took, soundfile.info(os.fsencode(targets[0])).subtype),
        list(dict.fromkeys(printed.getvalue().splitlines())),
    )


def progress(recording: Recording, advance: Callable[[float], object]) -> SimpleNamespace:
    """What `separate_recording` counts seconds with."""
    seconds, done = recording.frames / recording.sample_rate, [0.0]

    def update(more: float) -> None:
        done[0] += more
        advance(min(1.0, done[0] / seconds))

    return SimpleNamespace(update=update)


def mixed(recording: Recording) -> Iterator[np.ndarray]:
    """The recording as one channel, at its own rate, stretch by stretch: [1, n]."""
    with stretch_reader(recording, recording.sample_rate, CHANNEL) as read:
        for start in range(0, recording.frames, BLOCK):
            yield read(start, min(BLOCK, recording.frames - start))[np.newaxis]


def levels(paths: list[str]) -> list[float]:
    """The root mean square of each of these files, in dB of full scale."""
    powers = []
    for path in paths:
        with soundfile.SoundFile(os.fsencode(path)) as file:
            energy = sum(float(np.sum(np.square(block))) for block in file.blocks(BLOCK, dtype="float64"))
            powers.append(energy / file.frames)
    return [10 * np.log10(max(power, 1e-12)) for power in powers]


def pictures(paths: list[str], sample_rate: int) -> list[str]:
    """Waveform and spectrogram of each of these files, which are equally long, up to half of this rate: data URIs.

    The loudest sample of all is as high as a picture.
    """
    from evaluation.pictures import columns_picture  # matplotlib, which is not there as long as nothing is drawn
    from recordings.picture import HOP_SECONDS, gather_columns

    hop = max(1, round(HOP_SECONDS * sample_rate))
    with ExitStack() as stack:
        files = [stack.enter_context(soundfile.SoundFile(os.fsencode(path))) for path in paths]
        info = AudioInfo(files[0].frames, files[0].samplerate)

        def read(first: int, stop: int) -> np.ndarray:
            for file in files:
                file.seek(first)
            return np.stack([file.read(stop - first, dtype="float32") for file in files], axis=1)  # [n, S]

        at_network = at_rate(sample_rate, read, info)
        gathered = gather_columns(lambda start, length: at_network(start, length).T, info.frames_at(sample_rate), hop)
    peak = max(float(np.abs(gathered[:2]).max()), 1e-6)
    return [
        columns_picture(lowest / peak, highest / peak, power / peak**2, hop)
        for lowest, highest, power in zip(*gathered, strict=True)
    ]


def what_was_done(recording: Recording, net: Network, piece: int, took: float, subtype: str) -> list[str]:
    """Sentences on the recording and on what was done with it, for a person."""
    samples = recording.frames_at(net.sample_rate)
    pieces = len(piece_starts(samples, piece, round(OVERLAP_SECONDS * net.sample_rate), net.options.hop))
    seconds = recording.frames / recording.sample_rate
    length = f"{seconds:.1f} s" if seconds < 120 else duration(seconds)
    done = [f"{length} at {recording.sample_rate} Hz, {count_of(recording.channels, 'channel')}"]
    if recording.channels > 1:
        done.append("channels mixed to one, their mean")
    if recording.sample_rate != net.sample_rate:
        done.append(f"resampled from {recording.sample_rate} Hz to the network's {net.sample_rate} Hz, and back")
    if pieces > 1:
        done.append(f"in {pieces} pieces of {piece / net.sample_rate:.0f} s, joined where they overlap")
    kind = {"PCM_16": "16-bit", "PCM_24": "24-bit"}.get(subtype, "32-bit float")
    return [*done, f"{kind} wav at {recording.sample_rate} Hz, in {took:.1f} s"]
