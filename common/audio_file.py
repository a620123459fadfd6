"""Audio files that are open to be read, whole: also where a header does not say how long they are, or says it wrong.

What libsndfile counts is believed of headers that vouch for it. The others: mp3 files, whose frames are counted; Ogg
files of several streams one after another; FLAC of unknown length, which is decoded once; wav files whose header was
never completed.
"""

import os
import stat
from collections.abc import Callable
from contextlib import ExitStack
from functools import lru_cache
from itertools import accumulate

import numpy as np
import soundfile

from common.errors import UserError
from common.mpeg import MpegStream, mpeg_stream
from common.ogg import ogg_streams
from common.riff import read_wav_header
from common.spliced import spliced

BLOCK = 65536  # frames that are read at once where all are read
UNKNOWN_FRAMES = 2**63 - 1  # libsndfile's count for a FLAC file whose header was never completed
UNFINISHED = "its header was never completed, so it is read to its end"
NO_SEEKING = {"DWVW_12", "DWVW_16", "DWVW_24"}  # libsndfile says of them that it can seek, and fails
MP3_LEAD = 16 * 1152  # samples before those asked for: a frame takes bits of frames before it, libsndfile of four
UNREADABLE = (soundfile.SoundFileError, RuntimeError, TypeError)  # TypeError: named .raw, so without a header


class AudioFile:
    """An audio file that is open to be read.

    Args:
        path: of the file.
        name: what messages call it; default: the path.

    Attributes:
        frames, samplerate, channels, subtype, metadata: as soundfile.SoundFile has them; `frames` are all there are.
        log: what libsndfile said as it opened the file, unless its header was put right.
        note: what a person should know of it: that its header was never completed, that its end is missing. Or "".

    Raises UserError if it is missing, may not be read, is no audio or consists of streams that do not go together.
    """

    def __init__(self, path: str | os.PathLike, name: str | None = None):
        self.path, self.name = path, name or os.fspath(path)
        self.note = self.log = ""
        self.streams: list[Stream | StreamInSequence] = []
        self._open = ExitStack()
        try:
            self._open_streams()
        except BaseException:
            self.close()
            raise
        first = self.streams[0].file
        self.samplerate, self.channels, self.subtype = first.samplerate, first.channels, first.subtype
        for stream in self.streams:
            if (stream.file.samplerate, stream.file.channels) != (self.samplerate, self.channels):
                self.close()
                raise self._unlike_streams()
        self.ends = list(accumulate((stream.frames for stream in self.streams), initial=0))
        self.frames = self.ends[-1]

    def __enter__(self) -> "AudioFile":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        self._open.close()

    def read(self, first: int, stop: int) -> np.ndarray:
        """Samples `first` to `stop`, float32 [stop - first, channels]; fewer, if there are fewer.

        Raises UserError if the file is damaged there.
        """
        parts = []
        try:
            for stream, begin, end in zip(self.streams, self.ends, self.ends[1:], strict=False):
                if begin < stop and first < end:
                    parts.append(stream.read(max(first, begin) - begin, min(stop, end) - begin))
        except UNREADABLE as error:
            raise self._damaged(error) from None
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else np.zeros((0, self.channels), np.float32)

    def _open_streams(self) -> None:
        """Find the streams that the file truly consists of, and open them."""
        try:
            if not stat.S_ISREG(os.stat(self.path).st_mode):
                raise UserError(f"{self.name}: a folder, pipe or device and no file; copy what it gives into a file")
            with open(self.path, "rb") as file:
                content, header = read_wav_header(file.read)
                after, begin, end = file.read(8), len(content), os.fstat(file.fileno()).st_size
        except FileNotFoundError:
            raise UserError(f"{self.name}: no such file") from None
        except OSError as error:
            raise UserError(
                f"{self.name}: cannot be read ({error.strerror}); give yourself permission, or name another"
            ) from None
        if header and header.is_unfinished(after, end - begin):
            self.note, self.metadata = UNFINISHED, {}
            self._add_pieces([header.completed(end - begin), (begin, end)])
            return
        try:
            found = soundfile.SoundFile(os.fsencode(self.path))  # as bytes: text would have to be UTF-8
        except UNREADABLE as error:
            raise UserError(f"{self.name}: not an audio file that libsndfile can read ({error})") from None
        self.log, self.metadata = found.extra_info, found.copy_metadata()
        if found.format == "OGG":
            self._add_ogg(found)
        elif pieces := self._true_pieces(found):
            found.close()
            self._add_pieces(pieces)
        else:
            self._add(found, lambda: InSequence(os.fsencode(self.path)))

    def _add_ogg(self, found: soundfile.SoundFile) -> None:
        streams = ogg_streams(self.path)
        if not streams[-1].has_end:
            self.note = "its last page is missing, so that it may be cut short"
        if len(streams) == 1:
            self._add(found, last_seek=streams[0].last_seek)
            return
        found.close()
        for each in streams:
            self._add_pieces([(each.begin, each.end)], each.last_seek)

    def _true_pieces(self, found: soundfile.SoundFile) -> list[bytes | tuple[int, int]] | None:
        """What to read in its place, pieces for `spliced.spliced`; None if the header of the file is true."""
        state = os.stat(self.path)
        as_it_is = os.fspath(self.path), state.st_size, state.st_mtime_ns
        if found.format == "MP3":
            return self._mpeg_pieces(found, counted(*as_it_is))
        if found.format == "FLAC" and found.frames == UNKNOWN_FRAMES:
            return flac_pieces(*as_it_is)
        return None

    def _mpeg_pieces(
        self, found: soundfile.SoundFile, stream: MpegStream | None
    ) -> list[bytes | tuple[int, int]] | None:
        """The same for an mp3 file that holds this stream."""
        if stream is None:
            return None
        if stream.mixed:
            raise self._unlike_streams()
        if stream.promised is not None and stream.frames < stream.promised - (0 if stream.foreign else 1):
            raise UserError(
                f"{self.name}: cut short or damaged, {stream.frames} frames are there of the {stream.promised} that its"
                " header promises; copy it again"
            )
        if stream.foreign:
            self.note = f"{stream.foreign} bytes of it are no sound and passed by; it may be damaged or cut short"
        if stream.samples == found.frames and not stream.foreign:
            return None
        if found.subtype != "MPEG_LAYER_III":
            raise UserError(
                f"{self.name}: has {stream.samples} samples, of which libsndfile finds {found.frames}; convert it to"
                " wav or flac"
            )
        return stream.pieces()

    def _add_pieces(self, pieces: list[bytes | tuple[int, int]], last_seek: int | None = None) -> None:
        def opened(kind: type[soundfile.SoundFile]) -> soundfile.SoundFile:
            return kind(self._open.enter_context(spliced(self.path, pieces)))

        try:
            self._add(opened(soundfile.SoundFile), lambda: opened(InSequence), last_seek)
        except UNREADABLE as error:
            raise self._damaged(error) from None

    def _add(
        self,
        file: soundfile.SoundFile,
        open_in_sequence: Callable[[], "InSequence"] | None = None,
        last_seek: int | None = None,
    ) -> None:
        self._open.callback(file.close)
        if open_in_sequence and (not file.seekable() or file.subtype in NO_SEEKING):
            stream = StreamInSequence(open_in_sequence)
            self._open.callback(stream.close)
        else:
            stream = Stream(file, file.frames if last_seek is None else last_seek)
        self.streams.append(stream)

    def _damaged(self, error: Exception) -> UserError:
        return UserError(f"{self.name}: cannot be decoded ({error}); it is damaged, copy it again")

    def _unlike_streams(self) -> UserError:
        return UserError(
            f"{self.name}: consists of streams of other rates or channels, one after another; separate them, or"
            " convert it to wav or flac"
        )


class Stream:
    """One stream of a file. Samples after `last_seek` are not sought, but read from there on."""

    def __init__(self, file: soundfile.SoundFile, last_seek: int):
        self.file, self.frames, self.last_seek = file, file.frames, last_seek
        self.lead = MP3_LEAD if file.format == "MP3" else 0

    def read(self, first: int, stop: int) -> np.ndarray:
        """Samples `first` to `stop`, float32 [stop - first, channels]; fewer, if there are fewer."""
        begin = max(0, min(first, self.last_seek) - self.lead)
        self.file.seek(begin)
        return self.file.read(stop - begin, dtype="float32", always_2d=True)[first - begin :]


class InSequence(soundfile.SoundFile):
    """A file in which soundfile does not seek, not even to where it is already."""

    def seekable(self) -> bool:
        return False


class StreamInSequence:
    """One stream of a file in which libsndfile cannot seek: opened anew for what lies before what was read last."""

    def __init__(self, open_anew: Callable[[], InSequence]):
        self.open_anew = open_anew
        self.file = open_anew()
        self.frames = self.file.frames
        self._begin()

    def close(self) -> None:
        self.file.close()

    def read(self, first: int, stop: int) -> np.ndarray:
        """The same as `Stream.read`."""
        if first < self.at - len(self.last):
            self.close()
            self.file = self.open_anew()
            self._begin()
        while self.at < first:
            self._go_on(min(BLOCK, first - self.at))
            if not len(self.last):
                return self.last
        known = self.last[len(self.last) - (self.at - first) :]
        self._go_on(max(0, stop - self.at))
        self.last = np.concatenate([known, self.last])
        return self.last[: stop - first]

    def _begin(self) -> None:
        self.at, self.last = 0, np.zeros((0, self.file.channels), np.float32)  # sample reached, and those before it

    def _go_on(self, samples: int) -> None:
        self.last = self.file.read(samples, dtype="float32", always_2d=True)
        self.at += len(self.last)


@lru_cache(maxsize=1024)
def counted(path: str, _size: int, _time: int) -> MpegStream | None:
    """What an mp3 file holds, counted once for all the stretches that are read of it; not to be changed."""
    return mpeg_stream(path)


@lru_cache(maxsize=1024)
def flac_pieces(path: str, size: int, _time: int) -> list[bytes | tuple[int, int]]:
    """A FLAC file with its number of samples in its header, found by decoding: pieces for `spliced.spliced`."""
    frames = 0
    with InSequence(os.fsencode(path)) as file:
        while read := len(file.read(BLOCK)):
            frames += read
    with open(path, "rb") as file:
        begin = file.read(BLOCK)
    at = begin.find(b"fLaC") + 21  # 36 bits
    bits = (begin[at] & 0xF0) << 32 | frames
    return [begin[:at] + bits.to_bytes(5, "big"), (at + 5, size)]
