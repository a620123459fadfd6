"""The recordings that separate.py is given, and where the files go that it makes of each.

A recording is a file of any format and rate that libsndfile reads, or wav on standard input.
"""

import glob
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import soundfile

from common.audio import AudioInfo, audio_info, decode_open, open_audio
from common.errors import UserError
from common.files import list_folder
from recordings.resampling import Reader, at_rate

STANDARD_STREAM = "-"
ENDINGS = {f".{name.lower()}" for name in soundfile.available_formats()} - {".raw"}
ENDINGS |= {".aif", ".aifc", ".bwf", ".mp1", ".mp2", ".oga", ".opus", ".sf", ".snd", ".sph", ".wave"}
BLOCK = 65536  # frames that are copied at once


@dataclass(frozen=True)
class Recording(AudioInfo):
    """A file, and where what is made of it goes.

    Attributes:
        frames, sample_rate: its length, and its rate in Hz.
        path: where it is.
        name: what messages call it.
        targets: paths of a wav file for each speaker; none for standard output.
        picture: path of a PNG file, or None.
        channels: how many it has.
        subtype: what libsndfile calls the format of its samples.
        metadata: its title, artist and the like, by libsndfile's names.
    """

    path: str
    name: str
    targets: list[str]
    picture: str | None
    channels: int
    subtype: str
    metadata: dict[str, str]


def find_files(arguments: Iterable[str]) -> dict[str, str]:
    """The files that the arguments mean, and their names in the output folder: a dict from path to NAME.

    A folder means the audio files anywhere in it, which keep their place within it; a line says how many others are
    passed by. A pattern means what it matches. Raises UserError if a folder or a pattern means nothing.
    """
    found = {}
    for argument in arguments:
        if os.path.isdir(argument):
            below = sorted(filter(os.path.isfile, matching(os.path.join(glob.escape(argument), "**", "*"))))
            endings = [os.path.splitext(path)[1].lower() for path in below]
            paths = [path for path, ending in zip(below, endings, strict=True) if ending in ENDINGS]
            others = Counter(ending or "without an ending" for ending in endings if ending not in ENDINGS)
            passed_by = ", ".join(f"{count} {ending}" for ending, count in sorted(others.items()))
            if not paths:
                there = f" (but {passed_by})" if others else ""
                raise UserError(
                    f"{argument}: a folder without audio files that can be read{there}; name another, or the files"
                    " themselves, converted to wav or flac where need be"
                )
            if others:
                print(f"{argument}: passed by {passed_by}, since these endings are of no format that is read")
            found |= {path: os.path.splitext(os.path.relpath(path, argument))[0] for path in paths}
            continue
        paths = [argument]
        if glob.has_magic(argument) and not os.path.lexists(argument):
            paths = sorted(matching(argument))
            if not paths:
                raise UserError(f"{argument}: no file is so named; correct the pattern")
        found |= {path: os.path.splitext(os.path.basename(path))[0] for path in paths}
    return found


def matching(pattern: str) -> set[str]:
    """The paths that a pattern matches. `**` means each folder once, however many links lead to it, none to itself."""
    parts = pattern.split(os.sep)
    if "**" not in parts:
        return set(glob.glob(pattern))
    place = parts.index("**")
    begin, rest = os.sep.join([*parts[:place], ""]), parts[place + 1 :] or ["*"]
    found = set()
    for start in glob.glob(begin) if begin else [""]:
        for folder in folders_below(start):
            found |= matching(os.path.join(glob.escape(folder), *rest))
    return found


def folders_below(folder: str) -> Iterator[str]:
    """A folder and those anywhere in it but hidden ones, each once: by the way with the fewest links."""
    seen, waiting = set(), [folder]
    while waiting:
        folder = waiting.pop()
        real = os.path.realpath(folder)
        if real in seen:
            continue
        seen.add(real)
        yield folder
        try:
            inside = [os.path.join(folder, name) for name in list_folder(folder or ".")]
        except UserError as error:
            print(f"passed by: {error}", file=sys.stderr)
            continue
        waiting += sorted(filter(os.path.isdir, inside), key=os.path.islink, reverse=True)


def output_paths(
    files: dict[str, str], out_dir: str, speakers: int, overwrite: bool = False, plot: bool = False
) -> dict[str, tuple[list[str], str | None]]:
    """Where the estimates of each file go, and their picture.

    Args:
        files: from `find_files`.
        out_dir: folder for NAME_s1.wav, NAME_s2.wav ...
        speakers: how many.
        overwrite: whether such files may be there already.
        plot: whether there is a picture, NAME.png.

    Returns a dict from path to a list of the paths of its estimates, and that of the picture or None. Raises UserError
    if a file would be written over an input or, unless `overwrite`, over what is there.
    """
    outputs = {}
    inputs = {os.path.realpath(path) for path in files}
    for path, name in files.items():
        targets = [os.path.join(out_dir, f"{name}_s{number}.wav") for number in range(1, speakers + 1)]
        picture = os.path.join(out_dir, f"{name}.png") if plot else None
        outputs[path] = targets, picture
        for target in [*targets, picture] if plot else targets:
            if os.path.realpath(target) in inputs:
                raise UserError(f"{target}: the estimates of {path} would overwrite this input; take another --out_dir")
            if os.path.lexists(target) and not overwrite:
                raise UserError(f"{target}: is there already; take another --out_dir, or --overwrite to replace it")
    return outputs


def of_one_place(outputs: dict[str, tuple[list[str], str | None]]) -> dict[str, str]:
    """Why some of the files of `output_paths` cannot be written, each of which has a place in common with another."""
    owners, reasons = {}, {}
    for path, (targets, picture) in outputs.items():
        for target in filter(None, [*targets, picture]):
            other = owners.setdefault(os.path.realpath(target), path)
            if other != path:
                reason = "{}: would be written to {}, as {} would; give them two --out_dir"
                reasons.setdefault(path, reason.format(path, target, other))
                reasons.setdefault(other, reason.format(other, target, path))
    return reasons


def recording_from_file(path: str, targets: list[str], picture: str | None, channel: int | str) -> Recording:
    """The `Recording` of a file. Raises UserError as `audio.audio_info` does."""
    info = audio_info(path, channel)
    with open_audio(path) as file:
        facts = file.channels, file.subtype, file.copy_metadata()
    return Recording(info.frames, info.sample_rate, path, path, targets, picture, *facts)


@contextmanager
def stretch_reader(recording: Recording, sample_rate: int, channel: int | str) -> Iterator[Reader]:
    """Give read(start, length), a stretch of a recording at this rate: float32 [length], at `sample_rate` Hz.

    `channel` is its number, from 1, or "mix" for the mean of all. The file stays open: a place in an mp3 file that was
    just opened is the slower to find the later it is. Reading raises UserError if the file is damaged there, or holds
    NaN or infinite samples.
    """
    with open_audio(recording.path) as file:
        yield at_rate(sample_rate, partial(decode_open, file, channel=channel), recording)


def recording_from_standard_input(folder: str) -> Recording:
    """The `Recording` of the wav on standard input, copied into a file in `folder` as it comes.

    It may be a pipe, whose header need not say how long it is. Raises UserError if it is not wav, is empty or cannot be
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


def open_standard_input() -> soundfile.SoundFile:
    """Standard input as a soundfile.SoundFile. Raises UserError if it is not wav."""
    try:
        return soundfile.SoundFile(sys.stdin.fileno(), closefd=False)
    except (OSError, RuntimeError) as error:
        raise UserError(f"standard input: not wav, of the formats the one that can be piped ({error})") from None
