"""The streams of a FLAC file, which may come one after another: libsndfile reads the first, to where its header says.

The layout: RFC 9639.
"""

import mmap
import os
from dataclasses import dataclass
from functools import lru_cache

from common.audio_stream import UNREADABLE, InSequence
from common.spliced import spliced

MARK = b"fLaC"  # a stream begins with it
HEADER = b"\0\0\x22"  # how its first block goes on, which has 34 bytes and tells of the whole stream
TOTAL = slice(21, 26)  # of the bytes of a stream: in their lower 36 bits, how many samples it has, 0 for unknown
TOTAL_BITS = 36
COUNTED_AT_ONCE = 1024  # of FLAC whose end may be missing: it is lost from the last that were read on
LARGEST_FRAME = 2**18  # bytes that are looked through for the last frame; usual ones have 2 to 16 thousand


@dataclass(frozen=True)
class FlacStream:
    """Where a stream is in its file, its first bytes, and whether its header says rightly how many samples it has."""

    begin: int
    end: int
    head: bytes
    is_counted: bool

    def pieces(self, frames: int | None = None) -> list[bytes | tuple[int, int]]:
        """The stream, with so many frames in its header if not with its own: pieces for `spliced.spliced`."""
        if frames is None:
            return [(self.begin, self.end)]
        total = _total(self.head) >> TOTAL_BITS << TOTAL_BITS | frames
        return [self.head[: TOTAL.start] + total.to_bytes(5, "big"), (self.begin + TOTAL.stop, self.end)]


@lru_cache(maxsize=1024)
def flac_pieces(path: str, _size: int, _time: int) -> tuple[list[list[bytes | tuple[int, int]]], bool]:
    """The streams of a FLAC file, with their numbers of samples in their headers, and whether the last one is whole.

    Those that a header does not know are found by decoding. Returns pieces of each stream for `spliced.spliced`; none
    if there is one whose header is true. Raises one of UNREADABLE if the file is damaged.
    """
    streams = flac_streams(path)
    if len(streams) == 1 and streams[0].is_counted:
        return [], True
    counts = [(None, True) if stream.is_counted else flac_frames(path, stream) for stream in streams]
    several = [stream.pieces(frames) for stream, (frames, _) in zip(streams, counts, strict=True)]
    return several, all(is_whole for _, is_whole in counts)


def flac_frames(path: str, stream: FlacStream) -> tuple[int, bool]:
    """How many samples can be decoded of a stream, and whether it ends with a whole frame."""
    frames = 0
    with spliced(path, stream.pieces(0)) as content, InSequence(content) as file:
        try:
            while read := len(file.read(COUNTED_AT_ONCE)):
                frames += read
        except UNREADABLE:
            if not frames or content.read(1):  # damaged before the end
                raise
            return frames, False
    return frames, True


def flac_streams(path: str | os.PathLike) -> list[FlacStream]:
    """Find the streams of a file, one after another."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        begins, at = [], -1
        while (at := content.find(MARK, at + 1)) >= 0:
            if content[at + 5 : at + 8] == HEADER:
                begins.append(at)
        ends = [*begins[1:], len(content)]
        return [_stream(content, begin, end) for begin, end in zip(begins, ends, strict=True)]


def _stream(content: mmap.mmap, begin: int, end: int) -> FlacStream:
    head = content[begin : begin + TOTAL.stop]
    frames = _total(head) % 2**TOTAL_BITS
    return FlacStream(begin, end, head, frames > _last_frame(content, begin, end))


def _total(head: bytes) -> int:
    return int.from_bytes(head[TOTAL], "big")


def _last_frame(content: mmap.mmap, begin: int, end: int) -> int:
    """The first sample of the last frame that is found, by what that frame says; 0 if there is none."""
    at, is_last = begin + len(MARK), False
    while not is_last and at + 4 < end:  # blocks of metadata
        is_last = content[at] >= 0x80
        at += 4 + int.from_bytes(content[at + 1 : at + 4], "big")
    first, place = content[at : at + 4], end
    while len(first) == 4 and (place := content.rfind(first[:2], max(at, end - LARGEST_FRAME), place)) >= 0:
        header = content[place : place + 11]
        alike = len(header) == 11 and all((header[k] ^ first[k]) & 0x0F == 0 for k in (2, 3))  # rate, bits of a sample
        if alike and (number := _coded_number(header[4:])) is not None:
            in_samples = first[1] & 1  # else it counts frames, all of one size but the last
            return number if in_samples else number * int.from_bytes(content[begin + 10 : begin + 12], "big")
    return 0


def _coded_number(coded: bytes) -> int | None:
    """The number that these bytes begin with, coded as UTF-8 codes characters; None if they do not."""
    if coded[0] < 0x80:
        return coded[0]
    length = 8 - (coded[0] ^ 0xFF).bit_length()  # ones that it begins with
    if length not in range(2, 8) or any(byte >> 6 != 2 for byte in coded[1:length]):
        return None
    number = coded[0] & (0x7F >> length)
    for byte in coded[1:length]:
        number = number << 6 | byte & 0x3F
    return number
