"""Sound that libsndfile does not read, of telephones and of video files: m4a, mp4, wma, webm, amr, 3gp and the like.

PyAV decodes it, whose wheels bring FFmpeg's libraries: an extra, requirements/formats.txt. No header is believed in
what it says of rate, channels and length: a file is decoded to its end once to know them, and again to be read.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from common.audio_stream import StreamInSequence
from common.errors import UserError
from common.spliced import spliced

if TYPE_CHECKING:
    import av

HINT = "pip install -r requirements/formats.txt brings what reads m4a, mp4, wma, webm, amr and the like"
ENDINGS = frozenset(
    (
        *(".3g2", ".3gp", ".aac", ".ac3", ".amr", ".asf", ".avi", ".awb", ".flv", ".m2ts", ".m4a", ".m4b", ".m4v"),
        *(".mka", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".webm", ".wma", ".wmv"),
    )
)
# How such files begin: MP4 and its kin, Matroska, ASF, AMR, FLV, AVI, ADTS, AC-3, MPEG's program and transport streams.
BEGINNINGS = re.compile(
    rb"....(ftyp|moov|mdat|wide)|\x1aE\xdf\xa3|0&\xb2u|#!AMR|FLV|RIFF....AVI |\xff[\xf0\xf1\xf8\xf9]|\x0bw|\0\0\1\xba"
    rb"|(....)?G.{187}G",
    re.DOTALL,
)
# FFmpeg's names of these alone: it would open play lists too, and what they name.
FORMATS = "mov,matroska,asf,amr,amrnb,amrwb,flv,avi,aac,ac3,eac3,mpeg,mpegts"
TEXTS = {"track": "tracknumber"} | {
    name: name for name in ("title", "copyright", "artist", "comment", "date", "album", "license", "genre")
}
# Formats of samples finer than 16 bits, by libsndfile's names.
FINE = {"s32": "PCM_32", "flt": "FLOAT", "dbl": "DOUBLE"}
FEWER = 0.25  # seconds of what a header promises may be missing: codecs count what comes before the first sample
LENGTH_IN_HEADER = ("mov,", "matroska,", "asf", "avi", "flv")  # of others FFmpeg guesses the length


@dataclass(frozen=True)
class MediaFacts:
    """What a file's sound is, as `AudioFile` has it; the note says what a person should know of it, or is ""."""

    frames: int
    samplerate: int
    channels: int
    subtype: str
    metadata: dict[str, str]
    note: str


class MediaFile:
    """The sound of a file, which is read from its beginning on, as `StreamInSequence` does."""

    def __init__(self, path: str | os.PathLike, facts: MediaFacts):
        self.frames, self.samplerate, self.channels = facts.frames, facts.samplerate, facts.channels
        self.subtype = facts.subtype
        self._blocks = map(samples_of, decoded(path))
        self._left = np.zeros((0, self.channels), np.float32)

    def close(self) -> None:
        self._blocks = iter(())

    def read(self, samples: int, **_: object) -> np.ndarray:
        """The next samples, float32 [samples, channels]; fewer at the end."""
        found, count = [self._left], len(self._left)
        while count < samples and (block := next(self._blocks, None)) is not None:
            found.append(block)
            count += len(block)
        joined = np.concatenate(found)
        self._left = joined[samples:]
        return joined[:samples]


def has_reader() -> bool:
    """Whether the extra is installed."""
    return find_spec("av") is not None


def media_stream(path: str | os.PathLike, name: str, refusal: Exception) -> tuple[StreamInSequence, MediaFacts]:
    """Open what libsndfile refuses.

    Args:
        path: of the file.
        name: what messages call it.
        refusal: what libsndfile said.

    Raises UserError if the extra is missing, or FFmpeg cannot read the file to its end either.
    """
    if not has_reader():
        hint = f"; {HINT}" if looks_like_media(path) else ""
        raise UserError(f"{name}: not an audio file that libsndfile can read ({refusal}){hint}")
    state = os.stat(path)
    try:
        facts = counted(os.fspath(path), state.st_size, state.st_mtime_ns)
    except NotMedia as error:
        raise UserError(
            f"{name}: not an audio file that libsndfile can read ({refusal}), nor FFmpeg ({error}); is it cut short?"
        ) from None
    except RuntimeError as error:
        raise UserError(f"{name}: cannot be decoded ({error}); it is damaged or cut short, copy it again") from None
    return StreamInSequence(lambda: MediaFile(path, facts)), facts


def looks_like_media(path: str | os.PathLike) -> bool:
    """Whether a file has the ending or the beginning of those that FFmpeg reads."""
    if os.path.splitext(path)[1].lower() in ENDINGS:
        return True
    with open(path, "rb") as file:
        return BEGINNINGS.match(file.read(256)) is not None


class NotMedia(Exception):
    """FFmpeg knows no sound in a file."""


@lru_cache(maxsize=1024)
def counted(path: str, _size: int, _time: int) -> MediaFacts:
    """What a file's sound is, decoded once for all the stretches that are read of it.

    Raises NotMedia, and RuntimeError as `decoded` does.
    """
    with opened(path) as container:
        stream = best(container)
        texts = {**container.metadata, **stream.metadata}
        tracks, promised = len(container.streams.audio), 0.0
        if container.format.name.startswith(LENGTH_IN_HEADER):
            promised = float((stream.duration or 0) * stream.time_base) or (container.duration or 0) / 1e6
        codec = stream.codec_context.codec
    frames, first = 0, None
    for frame in decoded(path):
        first = first or frame
        frames += frame.samples
    if first is None:
        raise RuntimeError("no sound in it")
    form = first.format.packed.name
    lossless = codec.name.startswith("pcm_") or codec.name in ("alac", "flac", "mlp", "truehd", "wmalossless")
    notes = []
    if tracks > 1:
        notes.append(f"has {tracks} sound tracks, of which one is taken, the one that FFmpeg thinks best")
    if (seconds := frames / first.sample_rate) < promised - FEWER:
        notes.append(f"its header promises {promised:.1f} s, and there is sound of {seconds:.1f}; it may be cut short")
    return MediaFacts(
        frames,
        first.sample_rate,
        first.layout.nb_channels,
        FINE.get(form, "PCM_16") if lossless else codec.name.upper(),
        {TEXTS[name.lower()]: text for name, text in texts.items() if name.lower() in TEXTS},
        "; ".join(notes),
    )


def opened(path: str | os.PathLike) -> "av.container.InputContainer":
    """The file, open in FFmpeg; by what is in it, whatever its name is. Raises NotMedia."""
    import av  # for such files alone

    file = spliced(path, [(0, os.stat(path).st_size)])
    try:
        return av.open(file, options={"format_whitelist": FORMATS}, metadata_errors="replace")
    except av.FFmpegError as error:
        file.close()
        raise NotMedia(error.strerror) from None


def best(container: "av.container.InputContainer") -> "av.AudioStream":
    """The sound track that FFmpeg thinks best. Raises NotMedia if there is none that it can decode."""
    stream = container.streams.best("audio")
    if stream is None or stream.codec_context is None:
        raise NotMedia("no sound in it that it knows")
    return stream


def decoded(path: str | os.PathLike) -> "Iterator[av.AudioFrame]":
    """The sound, frame by frame. Raises RuntimeError if it is damaged, or rate or channels change in it."""
    import av  # as above

    kind = None
    with opened(path) as container:
        try:
            for frame in container.decode(best(container)):
                found = frame.sample_rate, frame.layout.nb_channels
                kind = kind or found
                if found != kind:
                    raise RuntimeError("its rate or channels change in the middle")
                yield frame
        except av.FFmpegError:
            raise RuntimeError("FFmpeg finds errors in its sound") from None


def samples_of(frame: "av.AudioFrame") -> np.ndarray:
    """A frame's samples, float32 [n, channels], full scale 1."""
    samples = frame.to_ndarray()
    samples = samples.T if frame.format.is_planar else samples.reshape(-1, frame.layout.nb_channels)  # [n, channels]
    if samples.dtype.kind == "f":
        return samples.astype(np.float32)
    full = 2.0 ** (8 * samples.itemsize - 1)
    offset = full if samples.dtype.kind == "u" else 0
    return ((samples - offset) / full).astype(np.float32)
