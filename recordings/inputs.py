"""The recordings that separate.py is given, whatever they are, and the files that it writes for each.

A recording is a file of any format and rate that libsndfile reads, or wav on standard input. Its estimates are wav
files of its own rate and resolution, with its title, artist and the like, or a wav of a channel a speaker on standard
output.
"""

import glob
import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import soundfile

from common.audio import AudioInfo, audio_info, decode_open, open_audio, resampled
from common.errors import UserError

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
