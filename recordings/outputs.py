"""The files that are written for a recording: its estimates, all or none, or a stream of them; who speaks when.

Estimates are wav files of their recording's own rate and resolution, with its title, artist and the like; on standard
output, one wav with a channel a speaker.
"""

import json
import os
import shutil
import struct
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import BinaryIO

import numpy as np
import soundfile

from common.audio import AudioInfo, as_steps, decode
from common.errors import UserError, unwritable_output
from common.files import make_folder, temporary_folder, whole_file, whole_text, writing
from recordings.activity import Segment
from recordings.inputs import BLOCK, Recording
from recordings.resampling import at_rate

ENCODINGS = {"16": "PCM_16", "24": "PCM_24", "float": "FLOAT"}
FINER = {"PCM_24": "PCM_24", "PCM_32": "PCM_24", "FLOAT": "FLOAT", "DOUBLE": "FLOAT"}  # than 16 bits, what is as fine
LARGEST_WAV = 2**32 - 2**20  # bytes of samples: a wav file counts them in 32 bits


class WaitingFile:
    """Where estimates wait, at the network's rate, until it is known whether they fit into integers.

    It lies in a hidden folder beside the recording's targets, which goes when its `with` block is left.
    """

    def __init__(self, recording: Recording, sample_rate: int, speakers: int):
        self.recording, self.sample_rate, self.speakers = recording, sample_rate, speakers
        self.place = os.path.dirname(recording.targets[0] if recording.targets else recording.path) or "."

    def __enter__(self) -> "WaitingFile":
        make_folder(self.place)
        with ExitStack() as stack:
            self.folder = stack.enter_context(temporary_folder(".separating-", self.place))
            self.path = os.path.join(self.folder, "estimates.wav")
            stack.enter_context(writing(self.path))
            path = os.fsencode(self.path)
            self.file = soundfile.SoundFile(path, "w", self.sample_rate, self.speakers, "FLOAT", format="RF64")
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_) -> None:
        with self.stack:
            self.file.close()

    def append(self, estimates: np.ndarray) -> None:
        """Add estimates [C, n]. Raises UserError if the disk is full."""
        with writing(self.path):
            self.file.write(estimates.T)

    def stretches(self) -> Iterator[np.ndarray]:
        """All of the estimates, stretch by stretch, at the recording's rate: [C, n]."""
        for start in range(0, self.recording.frames, BLOCK):
            yield self.read(start, min(BLOCK, self.recording.frames - start), self.recording.sample_rate)

    def read(self, start: int, length: int, sample_rate: int) -> np.ndarray:
        """A stretch of the estimates, once all are there, at this rate: [C, length]."""
        info = AudioInfo(self.file.frames, self.sample_rate)
        self.file.close()
        return at_rate(sample_rate, partial(decode, self.path, channel="all"), info)(start, length).T


def write_estimates(
    recording: Recording, blocks: Callable[[], Iterable[np.ndarray]], encoding: str | None
) -> tuple[str, float]:
    """Write a recording's estimates to its targets or standard output, all of them or none.

    Args:
        recording: whose rate, length and texts they have.
        blocks: function that gives an iterator over the estimates, stretch by stretch: float32 [C, n] at its rate.
        encoding: a key of ENCODINGS, or None for what the recording has; float, if a sample would be clipped in that.

    Returns the subtype that was written, and the largest sample. Raises UserError if they cannot be written.
    """
    subtype = ENCODINGS[encoding] if encoding else FINER.get(recording.subtype, "PCM_16")
    with ExitStack() as stack:
        if recording.targets:
            partials = [stack.enter_context(whole_file(target)) for target in recording.targets]
        else:
            partials = [os.path.join(os.path.dirname(recording.path), "estimates.wav")]
            stack.enter_context(writing(partials[0]))
        peak = write_wavs(partials, recording, blocks(), subtype)
        if peak > 1 and subtype != "FLOAT":
            subtype = "FLOAT"
            write_wavs(partials, recording, blocks(), subtype)
    if not recording.targets:
        with open(partials[0], "rb") as file, standard_output() as stream:
            shutil.copyfileobj(file, stream)
            stream.flush()
    return subtype, peak


def write_wavs(paths: list[str], recording: Recording, blocks: Iterable[np.ndarray], subtype: str) -> float:
    """Write estimates as wav files, one a speaker or, of one path, a channel a speaker; returns the largest sample."""
    peak, files = 0.0, []
    with ExitStack() as stack:
        for estimates in blocks:
            signals = list(estimates) if len(paths) > 1 or len(estimates) == 1 else [estimates.T]
            files = files or [
                stack.enter_context(new_wav(path, recording, signal, subtype))
                for path, signal in zip(paths, signals, strict=True)
            ]
            for file, signal in zip(files, signals, strict=True):
                file.write(as_steps(signal, subtype))
            peak = max(peak, float(np.abs(estimates).max()))
    return peak


def new_wav(path: str, recording: Recording, signal: np.ndarray, subtype: str) -> soundfile.SoundFile:
    """A wav file for signals like this one, [n] or [n, C], as long as the recording and with its texts."""
    channels = 1 if signal.ndim == 1 else signal.shape[1]
    size = recording.frames * channels * {"PCM_16": 2, "PCM_24": 3, "FLOAT": 4}[subtype]
    form = "WAV" if size < LARGEST_WAV else "RF64"
    file = soundfile.SoundFile(os.fsencode(path), "w", recording.sample_rate, channels, subtype, format=form)
    for name, text in recording.metadata.items():
        setattr(file, name, text)
    return file


def write_segments(recording: Recording, segments: Sequence[Segment]) -> None:
    """Write who speaks when in a recording, as RTTM and as JSON. Raises UserError if they cannot be written.

    RTTM is NIST's, of ten fields that spaces separate, so that a name has underscores for its own.
    """
    table, structure = recording.segments
    name, seconds = os.path.splitext(os.path.basename(recording.name))[0], recording.frames / recording.sample_rate
    make_folder(os.path.dirname(table) or ".")
    with whole_text(table) as file:
        for each in segments:
            times = f"{each.start:.3f} {each.end - each.start:.3f}"
            file.write(f"SPEAKER {'_'.join(name.split())} 1 {times} <NA> <NA> s{each.speaker} <NA> <NA>\n")
    with whole_text(structure) as file:
        rows = [{"start": round(each.start, 3), "end": round(each.end, 3), "speaker": f"s{each.speaker}"}
                for each in segments]  # fmt: skip
        json.dump({"recording": recording.name, "seconds": round(seconds, 3), "segments": rows}, file, indent=1)
        file.write("\n")


@contextmanager
def standard_output() -> Iterator[BinaryIO]:
    """Give standard output's bytes to write to. Raises UserError if it is full or closed, or what read it has ended."""
    if sys.__stdout__ is None:
        raise UserError("standard output: is closed; say where the estimates go, as in > speakers.wav")
    try:
        yield sys.__stdout__.buffer  # not of sys.stdout, which may be turned aside for what is said to a person
    except OSError as error:
        raise unwritable_output(error) from None


class WavStream:
    """A wav of 32-bit floats on standard output, written as it comes, a channel a speaker.

    Its header promises the most that one can, unless standard output is a file, where the length is put right.
    """

    def __init__(self, sample_rate: int, channels: int):
        self.sample_rate, self.channels, self.bytes = sample_rate, channels, 0
        self.write_header(2**32 - 1)

    def write_header(self, size: int) -> None:
        """Write the header of so many bytes of samples."""
        frame = 4 * self.channels
        form = struct.pack("<HHIIHH", 3, self.channels, self.sample_rate, self.sample_rate * frame, frame, 32)
        with standard_output() as stream:
            stream.write(struct.pack("<4sI8sI", b"RIFF", min(size + 36, 2**32 - 1), b"WAVEfmt ", len(form)) + form)
            stream.write(struct.pack("<4sI", b"data", size))
            stream.flush()

    def write(self, estimates: np.ndarray) -> None:
        """Write estimates [C, n] and pass them on at once."""
        with standard_output() as stream:
            stream.write(np.ascontiguousarray(estimates.T, "<f4").tobytes())
            stream.flush()
        self.bytes += 4 * estimates.size

    def close(self) -> None:
        """Put the length right, if standard output is a file."""
        if sys.__stdout__.seekable() and self.bytes < 2**32:
            with standard_output() as stream:
                stream.seek(0)
            self.write_header(self.bytes)
