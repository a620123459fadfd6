"""Audio files that are open to be read, whole: also where a header does not say how long they are, or says it wrong.

What libsndfile counts is believed of headers that vouch for it. The others: mp3 files, whose frames are counted; Ogg
and FLAC files of several streams one after another; FLAC of unknown or wrong length, which is decoded once; wav files
whose header was never completed. What libsndfile does not read at all is left to FFmpeg (see `common.media`).
"""

import os
import re
import stat
from collections.abc import Callable
from contextlib import ExitStack
from functools import lru_cache
from itertools import accumulate

import numpy as np
import soundfile

from common.audio_stream import UNREADABLE, InSequence, Stream, StreamInSequence
from common.errors import UserError
from common.flac import flac_pieces
from common.media import media_stream
from common.mpeg import MpegStream, mpeg_stream
from common.ogg import ogg_streams
from common.riff import goes_on_after_caf, read_wav_header
from common.spliced import spliced

UNFINISHED = "its header was never completed, so it is read to its end"
# What libsndfile says where something other than a chunk follows the sound, as it does if the header is an old one.
MORE_FOLLOWS = re.compile(r"Unknown chunk marker.*\n.*Exiting parser")
AU_SIZE = re.compile(r"Data Offset : (\d+)\n +Data Size +: (\d+)\n")
NO_SEEKING = {"DWVW_12", "DWVW_16", "DWVW_24"}  # libsndfile says of them that it can seek, and fails


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
            state = os.stat(self.path)
            if not stat.S_ISREG(state.st_mode):
                raise UserError(f"{self.name}: a folder, pipe or device and no file; copy what it gives into a file")
            if not state.st_size:  # as those of /proc, of which some are waited for for ever
                raise UserError(f"{self.name}: empty, it has no bytes; copy it again")
            with open(self.path, "rb") as file:
                content, header = read_wav_header(file.read)
                after, begin, end = file.read(8), len(content), os.fstat(file.fileno()).st_size
        except (FileNotFoundError, ValueError):  # ValueError: a name that none can have, such as one with a null byte
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
            stream, facts = media_stream(self.path, self.name, error)
            self._open.callback(stream.close)
            self.streams.append(stream)
            self.metadata, self.note = facts.metadata, facts.note
            return
        self.log, self.metadata = found.extra_info, found.copy_metadata()
        size = AU_SIZE.search(self.log)
        after_au = size and sum(map(int, size.groups())) < end
        if MORE_FOLLOWS.search(self.log) or after_au or (found.format == "CAF" and goes_on_after_caf(self.path)):
            self.note = "more follows the sound that its header tells of, and is passed by; is that header an old one?"
        if found.format == "OGG":
            self._add_ogg(found)
        elif several := self._true_pieces(found):
            found.close()
            for pieces in several:
                self._add_pieces(pieces)
        else:
            self._add(found, lambda: InSequence(os.fsencode(self.path)))

    def _add_ogg(self, found: soundfile.SoundFile) -> None:
        streams = ogg_streams(self.path)
        if not all(stream.in_order for stream in streams):
            self.note = "its pages are not one after another, so that parts of it may be missing, twice or misplaced"
        if not streams[-1].has_end:
            self.note = "its last page is missing or damaged, so that it may be cut short"
        if len(streams) == 1:
            self._add(found, last_seek=streams[0].last_seek)
            return
        found.close()
        for each in streams:
            self._add_pieces([(each.begin, each.end)], each.last_seek)

    def _true_pieces(self, found: soundfile.SoundFile) -> list[list[bytes | tuple[int, int]]]:
        """What to read in its place, pieces of each stream for `spliced.spliced`; none if the file's header is true."""
        state = os.stat(self.path)
        as_it_is = os.fspath(self.path), state.st_size, state.st_mtime_ns
        if found.format == "MP3":
            return self._mpeg_pieces(found, counted(*as_it_is))
        if found.format == "FLAC":
            try:
                several, is_whole = flac_pieces(*as_it_is)
            except UNREADABLE as error:
                raise self._damaged(error) from None
            if not is_whole:
                self.note = "its end is missing, so that it is cut short"
            return several
        return []

    def _mpeg_pieces(
        self, found: soundfile.SoundFile, stream: MpegStream | None
    ) -> list[list[bytes | tuple[int, int]]]:
        """The same for an mp3 file that holds this stream."""
        if stream is None:
            return []
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
            return []
        if found.subtype != "MPEG_LAYER_III":
            raise UserError(
                f"{self.name}: has {stream.samples} samples, of which libsndfile finds {found.frames}; convert it to"
                " wav or flac"
            )
        return [stream.pieces()]

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


@lru_cache(maxsize=1024)
def counted(path: str, _size: int, _time: int) -> MpegStream | None:
    """What an mp3 file holds, counted once for all the stretches that are read of it; not to be changed."""
    return mpeg_stream(path)
