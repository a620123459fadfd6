"""The recordings that separate.py is given.

A recording is a file of any format and rate that libsndfile or, where it is installed, PyAV reads, or what is on
standard input.
"""

import glob
import os
import stat
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import soundfile
from tqdm import tqdm

from common import media
from common.audio import AudioInfo, checked_info, decode_open
from common.audio_file import AudioFile
from common.errors import UserError
from common.files import kernel_devices, list_folder, temporary_folder
from common.wording import print_line, printable
from recordings.resampling import Reader, at_rate

STANDARD_STREAM = "-"
ENDINGS = {f".{name.lower()}" for name in soundfile.available_formats()} - {".raw"}
ENDINGS |= {".aif", ".aifc", ".bwf", ".mp1", ".mp2", ".oga", ".opus", ".sf", ".snd", ".sph", ".wave"}
LONGEST_TEXT = 2000  # bytes: libsndfile reads no longer ones, and of a wav with very long ones not even the sound
CANCELLED = 1e-4  # of the energy of the channels is left in their mean
BLOCK = 65536  # frames or bytes that are copied at once


@dataclass(frozen=True)
class Recording(AudioInfo):
    """A file, and where what is made of it goes.

    Attributes:
        frames, sample_rate: its length, and its rate in Hz.
        path: where it is.
        name: what messages call it.
        targets: paths of a wav file for each speaker; none for standard output.
        picture: path of a PNG file, or None.
        segments: paths of an RTTM and a JSON file that say who speaks when, or none.
        channels: how many it has.
        subtype: what libsndfile calls the format of its samples.
        metadata: its title, artist and the like, by libsndfile's names.
    """

    path: str
    name: str
    targets: list[str]
    picture: str | None
    segments: Sequence[str]
    channels: int
    subtype: str
    metadata: dict[str, str]


def find_files(arguments: Iterable[str]) -> dict[str, str]:
    """The files that the arguments mean, and their names in the output folder: a dict from path to NAME.

    A folder means the audio files anywhere in it, which keep their place within it; a line says how many others are
    passed by. A pattern means what it matches. Raises UserError if a folder or a pattern means nothing.
    """
    found = {}
    read = ENDINGS | media.ENDINGS if media.has_reader() else ENDINGS
    for argument in arguments:
        if os.path.isdir(argument):
            below = sorted(filter(os.path.isfile, matching(os.path.join(glob.escape(argument), "**", "*"))))
            endings = [os.path.splitext(path)[1].lower() for path in below]
            paths = [path for path, ending in zip(below, endings, strict=True) if ending in read]
            others = Counter(ending or "without an ending" for ending in endings if ending not in read)
            hint = f"; {media.HINT}" if media.ENDINGS & others.keys() else ""
            passed_by = ", ".join(f"{count} {ending}" for ending, count in sorted(others.items()))
            if not paths:
                there = f" (but {passed_by})" if others else ""
                raise UserError(
                    f"{argument}: a folder without audio files that can be read{there}; name another, or the files"
                    f" themselves, converted to wav or flac where need be{hint}"
                )
            if others:
                print_line(
                    f"{argument}: passed by {passed_by}, since these endings are of no format that is read{hint}"
                )
            found |= {path: os.path.splitext(os.path.relpath(path, argument))[0] for path in paths}
            continue
        paths = [argument]
        if glob.has_magic(argument) and not os.path.lexists(argument):
            paths = sorted(path for path in matching(argument) if not is_pipe(path))  # which may have no writer
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
    """A folder and those anywhere in it but hidden ones, each once: by the way with the fewest links.

    Those of `files.kernel_devices` are passed by, with a line each.
    """
    seen, waiting, no_recordings = set(), [folder], kernel_devices()
    while waiting:
        folder = waiting.pop()
        real = os.path.realpath(folder)
        if real in seen:
            continue
        seen.add(real)
        try:
            if os.stat(real).st_dev in no_recordings:
                print_line(f"{folder}: passed by, since Linux makes up what is in it")
                continue
        except OSError:  # it has gone, or what is above it may not be gone through
            continue
        yield folder
        try:
            inside = [os.path.join(folder, name) for name in list_folder(folder or ".")]
        except UserError as error:
            print(f"passed by: {error}", file=sys.stderr)
            continue
        waiting += sorted(filter(os.path.isdir, inside), key=os.path.islink, reverse=True)


def recording_from_file(
    path: str,
    targets: list[str],
    picture: str | None,
    channel: int | str,
    copies: ExitStack,
    name: str | None = None,
    segments: Sequence[str] = (),
) -> Recording:
    """The `Recording` of a file, which messages call `name` or else by its path.

    What a pipe gives is copied first, into a folder that is removed with `copies`. Prints what a person should know of
    it; raises UserError as `audio.audio_info` does.
    """
    name = name or path
    if is_pipe(path):
        try:
            with open(path, "rb", buffering=0) as stream:
                path = copied(stream.fileno(), name, copies)
        except OSError as error:
            raise UserError(f"{name}: cannot be read ({error.strerror})") from None
    with AudioFile(path, name) as file:
        info = checked_info(file, channel)
        facts = file.channels, file.subtype, copied_texts(name, file.metadata)
    if info.note:
        print_line(f"{name}: {info.note}")
    return Recording(info.frames, info.sample_rate, path, name, targets, picture, segments, *facts)


def copied_texts(name: str, texts: dict[str, str]) -> dict[str, str]:
    """Those of a recording's texts that fit into the header of a wav file; prints which do not."""
    fitting = {field: text for field, text in texts.items() if 0 < len(text.encode(errors="replace")) <= LONGEST_TEXT}
    for field, text in texts.items():
        if text and field not in fitting:
            print_line(
                f"{name}: its {field} of {len(text)} characters is left out, since a wav file has no room for it"
            )
    return fitting


@contextmanager
def stretch_reader(recording: Recording, sample_rate: int, channel: int | str) -> Iterator[Reader]:
    """Give read(start, length), a stretch of a recording at this rate: float32 [length], at `sample_rate` Hz.

    `channel` is its number, from 1, or "mix" for the mean of all. The file stays open: a place in an mp3 file that was
    just opened is the slower to find the later it is. Reading raises UserError if the file is damaged there, or holds
    NaN or infinite samples. In the end it is printed if the channels that were mixed cancelled each other.
    """
    mixed = channel == "mix" and recording.channels > 1
    energy = np.zeros(2)  # of the mean of the channels, and the mean of theirs

    def read(first: int, stop: int) -> np.ndarray:
        if not mixed:
            return decode_open(file, first, stop, channel=channel)
        samples = decode_open(file, first, stop, channel="all")  # [n, channels]
        mixture = samples.mean(1)  # [n]
        energy[:] += np.sum(mixture**2), np.sum(samples**2) / recording.channels
        return mixture

    with AudioFile(recording.path, recording.name) as file:
        yield at_rate(sample_rate, read, recording)
    if energy[0] < CANCELLED * energy[1]:
        name = printable(recording.name)
        tqdm.write(f"{name}: its channels cancel each other where they are mixed to one; --channel 1 takes the first")


def is_pipe(path: str) -> bool:
    """Whether a path names a pipe: a FIFO, or what a shell puts for `<(...)`."""
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except OSError:
        return False


def recording_from_standard_input(channel: int | str, copies: ExitStack, segments: Sequence[str] = ()) -> Recording:
    """The `Recording` of what is on standard input, copied as it comes into a folder that is removed with `copies`.

    Raises UserError if it cannot be copied, and as `audio.audio_info` does.
    """
    name = "standard input"
    return recording_from_file(copied(standard_input(), name, copies), [], None, channel, copies, name, segments)


def standard_input() -> int:
    """The descriptor of standard input. Raises UserError if it was closed at the start."""
    if sys.stdin is None:
        raise UserError("standard input: is closed; say what comes there, as in - < meeting.wav")
    return sys.stdin.fileno()


def copied(descriptor: int, name: str, copies: ExitStack) -> str:
    """Copy what `descriptor` gives into a file. Returns its path; raises UserError if that cannot be."""
    folder = "a temporary folder"
    try:
        folder = copies.enter_context(temporary_folder())
        copy = os.path.join(folder, "recording")
        with open(copy, "wb") as file:
            while block := os.read(descriptor, BLOCK):
                file.write(block)
    except OSError as error:
        raise UserError(f"{name}: cannot be read, or copied to {folder} ({error})") from None
    return copy
