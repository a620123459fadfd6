"""The frames of an mp3 file, counted one by one: without a header for its length, libsndfile's count is a guess.

The layout of frames: ISO/IEC 11172-3 and 13818-3; of the frame that holds the length: LAME's "Mp3 Info Tag".
"""

import mmap
import os
import struct
from dataclasses import dataclass, field
from functools import lru_cache

KBITS = {  # by version 1 or not, and layer: kbit/s of a header's four bits
    (True, 1): [0, *range(32, 449, 32)],
    (True, 2): [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
    (True, 3): [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
    (False, 1): [0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
    (False, 2): [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
    (False, 3): [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
}
RATES = [44100, 48000, 32000]
DECODER_DELAY = 529  # samples that a decoder of layer III lags behind; LAME's figures leave them out


@dataclass
class MpegStream:
    """What an mp3 file holds.

    Attributes:
        header: the four bytes of its first frame.
        frames: how many there are, without the one that holds the length.
        frame_samples: samples of each.
        spans: where they are in the file, (begin, end), as few as there can be.
        promised: frames by the header for the length, or None where there is none.
        delay, padding: samples before and after the sound, by LAME's header, or None where there is none.
        foreign: bytes between or after frames that are neither sound nor a tag.
        mixed: whether a stream of another rate or number of channels comes after.
    """

    header: bytes
    frame_samples: int
    frames: int = 0
    spans: list[tuple[int, int]] = field(default_factory=list)
    promised: int | None = None
    delay: int | None = None
    padding: int | None = None
    foreign: int = 0
    mixed: bool = False

    @property
    def samples(self) -> int:
        """All samples, without the delay before the sound; and without what is after it, if no other file follows."""
        before = 0 if self.delay is None else self.delay + DECODER_DELAY
        whole = self.padding is not None and self.frames == self.promised
        after = max(0, self.padding - DECODER_DELAY) if whole else 0
        return max(0, self.frames * self.frame_samples - before - after)

    def pieces(self) -> list[bytes | tuple[int, int]]:
        """The file anew, with a header for the length that is true: pieces for `spliced.spliced`.

        A decoder that finds no delay in it leaves out its own nevertheless, so there is a silent frame to leave out.
        """
        header = bytes([self.header[0], self.header[1] | 1, self.header[2] & 0x0C | 0xE0, self.header[3]])
        silence = (header + bytes(_side_bytes(header))).ljust(_frame_lengths(header)[header[2]], b"\0")
        extra, delay = (1, self.frame_samples - DECODER_DELAY) if self.delay is None else (0, self.delay)
        tag = b"Info" + struct.pack(">II", 1, self.frames + extra) + b"LAME".ljust(21, b"\0")
        tag = header + bytes(_side_bytes(header)) + tag + (delay << 12).to_bytes(3, "big")
        return [tag.ljust(len(silence), b"\0") + silence * extra, *self.spans]


def mpeg_stream(path: str | os.PathLike) -> MpegStream | None:
    """Count the frames of a file. Returns None if it has none of a known length."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        at = _next_frame(content, _after_tags(content, 0))
        if at is None:
            return None
        header = content[at : at + 4]
        stream = MpegStream(header, _frame_samples(header))
        at = _read_length(content, at, stream)
        _count(content, at, stream)
        return stream if stream.frames else None


def _count(content: mmap.mmap, at: int, stream: MpegStream) -> None:
    """Go from frame to frame, over tags and what is no sound."""
    lengths, second, mono = _frame_lengths(stream.header), stream.header[1] | 1, stream.header[3] >> 6 == 3
    size = len(content)
    while at + 4 <= size:
        begin, before = at, stream.frames
        while (
            at + 4 <= size
            and content[at] == 0xFF
            and content[at + 1] | 1 == second
            and (length := lengths[content[at + 2]])
            and (content[at + 3] >> 6 == 3) == mono
            and at + length <= size
        ):
            at += length
            stream.frames += 1
        if stream.frames > before:
            stream.spans.append((begin, at))
        after = _after_tags(content, at)
        if after == at:
            found = _next_frame(content, at)
            stream.mixed |= found == at and not _alike(content[at : at + 4], stream.header)
            after = size if found is None else max(found, at + 1)
            stream.foreign += after - at if content[at:after].strip(b"\0") else 0
        at = after


def _read_length(content: mmap.mmap, at: int, stream: MpegStream) -> int:
    """Read the header for the length, if the frame at `at` is one. Returns where the first frame of sound begins."""
    header = stream.header
    after = at + _frame_lengths(header)[header[2]]
    frame = content[at:after]
    if frame[36:40] == b"VBRI":  # Fraunhofer's
        stream.promised = int.from_bytes(frame[50:54], "big")
        return after
    tag = frame[4 + _side_bytes(header) :]
    if header[1] & 0x06 != 0x02 or tag[:4] not in (b"Xing", b"Info") or len(tag) < 8:
        return at
    flags, place = int.from_bytes(tag[4:8], "big"), 8
    if flags & 1:
        stream.promised = int.from_bytes(tag[8:12], "big")
    for bit, size in ((1, 4), (2, 4), (4, 100), (8, 4)):
        place += size if flags & bit else 0
    lame = tag[place : place + 24]
    if len(lame) == 24 and lame[0]:
        both = int.from_bytes(lame[21:24], "big")
        stream.delay, stream.padding = both >> 12, both & 0xFFF
    return after


def _after_tags(content: mmap.mmap, at: int) -> int:
    """Where the tags that begin here end: ID3, APE, Lyrics3; `at` if there are none."""
    while True:
        begin = content[at : at + 32]
        if begin[:3] == b"ID3" and len(begin) > 10:
            size = sum(byte << shift for byte, shift in zip(begin[6:10], (21, 14, 7, 0), strict=True))
            at += 10 + size + (10 if begin[5] & 0x10 else 0)
        elif begin[:3] == b"TAG":
            at += 128
        elif begin[:8] == b"APETAGEX" and len(begin) == 32:
            is_header = begin[23] & 0x20
            at += 32 + (int.from_bytes(begin[12:16], "little") if is_header else 0)
        elif begin[:11] == b"LYRICSBEGIN" and (end := content.find(b"LYRICS200", at)) >= 0:
            at = end + 9
        else:
            return min(at, len(content))


def _next_frame(content: mmap.mmap, at: int) -> int | None:
    """Where the next frame begins that another one, a tag or the end follows."""
    while (at := content.find(b"\xff", at)) >= 0:
        header = content[at : at + 4]
        if _is_header(header):
            after = at + _frame_lengths(header)[header[2]]
            follows = content[after : after + 4]
            if after == len(content) or _after_tags(content, after) > after:
                return at
            if _is_header(follows) and _alike(follows, header):
                return at
        at += 1
    return None


def _is_header(header: bytes) -> bool:
    """Whether four bytes can be a frame's header, of a length that it says."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return False
    version, layer, kbits, rate = header[1] >> 3 & 3, header[1] >> 1 & 3, header[2] >> 4, header[2] >> 2 & 3
    return version != 1 and layer != 0 and kbits not in (0, 15) and rate != 3


def _alike(header: bytes, other: bytes) -> bool:
    """Whether two frames are of one version, layer, rate and number of channels, so that they can be of one stream."""
    same = header[1] | 1 == other[1] | 1 and header[2] & 0x0C == other[2] & 0x0C
    return same and (header[3] >> 6 == 3) == (other[3] >> 6 == 3)


@lru_cache(maxsize=64)
def _frame_lengths(header: bytes) -> list[int]:
    """Bytes of a frame of this stream, by the third byte of its header; 0 where that is of no such frame."""
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    rate = RATES[header[2] >> 2 & 3] >> {3: 0, 2: 1, 0: 2}[version]
    slot = 4 if layer == 1 else 1  # bytes
    lengths = [0] * 256
    for third in range(256):
        kbits = third >> 4
        if kbits not in (0, 15) and third & 0x0C == header[2] & 0x0C:
            bits = 1000 * KBITS[version == 3, layer][kbits] * _frame_samples(header)
            lengths[third] = (bits // (8 * slot * rate) + (third >> 1 & 1)) * slot
    return lengths


def _frame_samples(header: bytes) -> int:
    layer = 4 - (header[1] >> 1 & 3)
    return {1: 384, 2: 1152, 3: 1152 if header[1] >> 3 & 3 == 3 else 576}[layer]


def _side_bytes(header: bytes) -> int:
    """Bytes between the header of a frame of layer III and its sound, without those of a checksum."""
    mono = header[3] >> 6 == 3
    return (17 if mono else 32) if header[1] >> 3 & 3 == 3 else (9 if mono else 17)
