"""The recordings that separate.py is given, whatever they are, and the files that it writes for each.

A recording is a file of any format and rate that libsndfile reads, or wav on standard input. Its estimates are wav
files of its own rate and resolution, with its title, artist and the like, or a wav of a channel a speaker on standard
output.
"""

import glob
import os
import shutil
import struct
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import soundfile

from common.audio import AudioInfo, as_steps, audio_info, decode_open, open_audio, read_audio, resampled
from common.errors import UserError
from common.files import whole_file

STANDARD_STREAM = "-"
ENCODINGS = {"16": "PCM_16", "24": "PCM_24", "float": "FLOAT"}
FINER = {"PCM_24": "PCM_24", "PCM_32": "PCM_24", "FLOAT": "FLOAT", "DOUBLE": "FLOAT"}  # than 16 bits, what is as fine
ENDINGS = {f".{name.lower()}" for name in soundfile.available_formats()} | {".aif", ".oga", ".opus"} - {".raw"}
LARGEST_WAV = 2**32 - 2**20  # bytes of samples: a wav file counts them in 32 bits
BLOCK = 65536  # frames that are copied at once


@dataclass(frozen=True)
class Recording(AudioInfo):
    """A file, and where what is made of it goes.

    `name` is what messages call it; `targets` a wav file for each speaker, none for standard output; `picture` a PNG
    file or None; `subtype` and `metadata` what libsndfile calls its samples' format, and a dict of its texts.
    """

    path: str
    name: str
    targets: list
    picture: str | None
    channels: int
    subtype: str
    metadata: dict


def find_files(arguments):
    """The files that the arguments mean, and their names in the output folder: a dict from path to NAME.

    A folder means the audio files anywhere in it, which keep their place within it; a pattern, what it matches. Raises
    UserError if a folder or a pattern means nothing.
    """
    found = {}
    for argument in arguments:
        if os.path.isdir(argument):
            paths = sorted(glob.glob(os.path.join(glob.escape(argument), "**", "*"), recursive=True))
            paths = [path for path in paths if os.path.splitext(path)[1].lower() in ENDINGS and os.path.isfile(path)]
            if not paths:
                raise UserError(f"{argument}: a folder without audio files; name another, or the files themselves")
            found |= {path: os.path.splitext(os.path.relpath(path, argument))[0] for path in paths}
            continue
        paths = [argument]
        if glob.has_magic(argument) and not os.path.lexists(argument):
            paths = sorted(glob.glob(argument, recursive=True))
            if not paths:
                raise UserError(f"{argument}: no file is so named; correct the pattern")
        found |= {path: os.path.splitext(os.path.basename(path))[0] for path in paths}
    return found


def output_paths(files, out_dir, speakers, overwrite=False, plot=False):
    """Where the estimates of each file go, and their picture.

    Args:
        files: of `find_files`.
        out_dir: folder for NAME_s1.wav, NAME_s2.wav ...
        speakers: how many.
        overwrite: whether such files may be there already.
        plot: whether there is a picture, NAME.png.

    Returns a dict from path to a list of the paths of its estimates, and that of the picture or None. Raises UserError
    if two files would be written to one place, one over an input or, unless `overwrite`, over what is there.
    """
    outputs, owners = {}, {}
    inputs = {os.path.realpath(path) for path in files}
    for path, name in files.items():
        targets = [os.path.join(out_dir, f"{name}_s{number}.wav") for number in range(1, speakers + 1)]
        picture = os.path.join(out_dir, f"{name}.png") if plot else None
        outputs[path] = targets, picture
        for target in [*targets, picture] if plot else targets:
            place = os.path.realpath(target)
            if place in inputs:
                raise UserError(f"{target}: the estimates of {path} would overwrite this input; take another --out_dir")
            if place in owners:
                raise UserError(
                    f"{path}: would be written to {target}, as {owners[place]} would; give them two --out_dir"
                )
            if os.path.lexists(target) and not overwrite:
                raise UserError(f"{target}: is there already; take another --out_dir, or --overwrite to replace it")
            owners[place] = path
    return outputs


def describe(path, targets, picture, channel):
    """The `Recording` of a file. Raises UserError as `audio.audio_info` does."""
    info = audio_info(path, channel)
    with soundfile.SoundFile(path) as file:
        facts = file.channels, file.subtype, file.copy_metadata()
    return Recording(info.frames, info.sample_rate, path, path, targets, picture, *facts)


@contextmanager
def opened(recording, sample_rate, channel):
    """Give read(start, length), a stretch of a recording's `channel`, as of `audio.read_audio`, at this rate.

    The file stays open: a place in an mp3 file that was just opened is the slower to find the later it is. What is read
    is float32 [length]. Raises UserError if the file is damaged there, or holds NaN or infinite samples.
    """
    with open_audio(recording.path) as file:
        decode = partial(decode_open, file, channel=channel)
        yield lambda start, length: resampled(decode, recording, sample_rate, start, length)


def from_standard_input(folder):
    """The `Recording` of the wav on standard input, copied into a file in `folder` as it comes.

    It may be a pipe, whose header need not tell the length. Raises UserError if it is not wav, is empty or cannot be
    copied.
    """
    copy = os.path.join(folder, "recording.wav")
    with open_standard_input() as stream:
        try:
            with soundfile.SoundFile(copy, "w", stream.samplerate, stream.channels, "FLOAT", format="RF64") as file:
                while len(samples := stream.read(BLOCK, dtype="float32", always_2d=True)):
                    file.write(samples)
        except (OSError, RuntimeError) as error:
            raise UserError(f"standard input: cannot be read, or copied to {folder} ({error})") from None
        frames = file.frames
        if not frames:
            raise UserError("standard input: empty, it has no samples")
        facts = stream.channels, stream.subtype, stream.copy_metadata()
        return Recording(frames, stream.samplerate, copy, "standard input", [], None, *facts)


def open_standard_input():
    """Standard input as a soundfile.SoundFile. Raises UserError if it is not wav."""
    try:
        return soundfile.SoundFile(sys.stdin.fileno(), closefd=False)
    except (OSError, RuntimeError) as error:
        raise UserError(f"standard input: not wav, of the formats the one that can be piped ({error})") from None


class WaitingFile:
    """Where estimates wait, at the network's rate, until it is known whether they fit into integers.

    It lies in a hidden folder beside the recording's targets, which goes when its `with` block is left.
    """

    def __init__(self, recording, sample_rate, speakers):
        self.recording, self.sample_rate, self.speakers = recording, sample_rate, speakers
        self.place = os.path.dirname(recording.targets[0] if recording.targets else recording.path) or "."

    def __enter__(self):
        try:
            os.makedirs(self.place, exist_ok=True)
            self.folder = tempfile.TemporaryDirectory(prefix=".separating-", dir=self.place)
        except OSError as error:
            raise UserError(f"{self.place}: cannot be made, or written to ({error}); take another folder") from None
        self.path = os.path.join(self.folder.name, "estimates.wav")
        self.file = soundfile.SoundFile(self.path, "w", self.sample_rate, self.speakers, "FLOAT", format="RF64")
        return self

    def __exit__(self, *_):
        self.file.close()
        self.folder.cleanup()

    def append(self, estimates):
        """Add estimates [C, n]. Raises UserError if the disk is full."""
        try:
            self.file.write(estimates.T)
        except RuntimeError as error:
            raise UserError(f"{self.place}: cannot be written to ({error}); is there room?") from None

    def stretches(self):
        """All of the estimates, stretch by stretch, at the recording's rate: [C, n]."""
        for start in range(0, self.recording.frames, BLOCK):
            yield self.read(start, min(BLOCK, self.recording.frames - start), self.recording.sample_rate)

    def read(self, start, length, sample_rate):
        """A stretch of the estimates, once all are there, at this rate: [C, length]."""
        self.file.close()
        return read_audio(self.path, sample_rate, start, length, channel="all").T


def write_estimates(recording, blocks, encoding):
    """Write a recording's estimates to its targets or standard output, all of them or none.

    Args:
        recording: of `describe` or `from_standard_input`.
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
        peak = write_wavs(partials, recording, blocks(), subtype)
        if peak > 1 and subtype != "FLOAT":
            subtype = "FLOAT"
            write_wavs(partials, recording, blocks(), subtype)
    if not recording.targets:
        with open(partials[0], "rb") as file, standard_output() as stream:
            shutil.copyfileobj(file, stream)
            stream.flush()
    return subtype, peak


def write_wavs(paths, recording, blocks, subtype):
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


def new_wav(path, recording, signal, subtype):
    """A wav file for signals like this one, [n] or [n, C], as long as the recording and with its texts."""
    channels = 1 if signal.ndim == 1 else signal.shape[1]
    size = recording.frames * channels * {"PCM_16": 2, "PCM_24": 3, "FLOAT": 4}[subtype]
    form = "WAV" if size < LARGEST_WAV else "RF64"
    file = soundfile.SoundFile(path, "w", recording.sample_rate, channels, subtype, format=form)
    for name, text in recording.metadata.items():
        setattr(file, name, text)
    return file


@contextmanager
def standard_output():
    """Give standard output's bytes to write to. Raises UserError if it is full, or if what read it has ended."""
    try:
        yield sys.__stdout__.buffer  # not of sys.stdout, which may be turned aside for what is said to a person
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())  # where Python puts the rest as it ends
        raise UserError(
            f"standard output: cannot be written ({error.strerror}); is there room, and does what reads it still run?"
        ) from None


class WavStream:
    """A wav of 32-bit floats on standard output, written as it comes, a channel a speaker.

    Its header promises the most that one can, unless standard output is a file, where the length is put right.
    """

    def __init__(self, sample_rate, channels):
        self.sample_rate, self.channels, self.bytes = sample_rate, channels, 0
        self.write_header(2**32 - 1)

    def write_header(self, size):
        frame = 4 * self.channels
        form = struct.pack("<HHIIHH", 3, self.channels, self.sample_rate, self.sample_rate * frame, frame, 32)
        with standard_output() as stream:
            stream.write(struct.pack("<4sI8sI", b"RIFF", min(size + 36, 2**32 - 1), b"WAVEfmt ", len(form)) + form)
            stream.write(struct.pack("<4sI", b"data", size))
            stream.flush()

    def write(self, estimates):
        """Write estimates [C, n] and pass them on at once."""
        with standard_output() as stream:
            stream.write(np.ascontiguousarray(estimates.T, "<f4").tobytes())
            stream.flush()
        self.bytes += 4 * estimates.size

    def close(self):
        if sys.__stdout__.seekable() and self.bytes < 2**32:
            with standard_output() as stream:
                stream.seek(0)
            self.write_header(self.bytes)
