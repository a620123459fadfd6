"""The headers of wav files that were never completed, as programs leave them that write to a pipe or are ended.

Such a header is made anew as one of Sony Wave64, whose length has 64 bits. And what follows the chunks of a CAF file.
"""

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass

from common.numbers import ceil_div

MOST_BYTES = 2**24  # of what may lie before the sound
WITHOUT_LENGTH = [(0x7FFF0000, 0x80010000), (0xFFFF0000, 2**64)]  # SoX, arecord; ffmpeg, mpg123
EXTENSIBLE = b"\xfe\xff"
WAVE64 = b"\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
RIFF64 = b"\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"


@dataclass(frozen=True)
class WavHeader:
    """What comes before the sound of a wav file.

    Attributes:
        content: all of its bytes.
        form: those of the chunk `fmt `.
        size: bytes of sound, by the header.
        whole: bytes of the whole file after the first 8, by the header.
    """

    content: bytes
    form: bytes
    size: int
    whole: int

    def is_unfinished(self, after: bytes, size: int | None = None) -> bool:
        """Whether the length was never written.

        Args:
            after: the eight bytes after the header, fewer if there are no more.
            size: all bytes after the header, if it is known how many.
        """
        if self.size:
            return _is_no_length(self.size) and (size is None or self.size > size)
        end = len(self.content) + int.from_bytes(after[4:], "little")
        return bool(after) and not (is_chunk_name(after[:4]) and end <= self.whole)

    def as_riff(self) -> bytes:
        """The same as a header of RIFF, which counts in 32 bits, without other chunks."""
        form = struct.pack("<I", len(self.form)) + self.form
        begin = b"WAVEfmt " + form + b"data" + struct.pack("<I", self.size)
        return b"RIFF" + struct.pack("<I", len(begin) + self.size) + begin

    def completed(self, size: int) -> bytes:
        """A header of Wave64 for so many bytes of sound."""
        form = self.form
        if form[:2] == EXTENSIBLE and len(form) >= 26:
            form = form[24:26] + form[2:16]  # the kind of samples lies further behind, where libsndfile does not look
        padded = form.ljust(8 * ceil_div(len(form), 8), b"\0")
        begin = b"wave" + WAVE64 + b"fmt " + WAVE64 + struct.pack("<Q", 24 + len(form)) + padded
        begin += b"data" + WAVE64 + struct.pack("<Q", 24 + size)
        return b"riff" + RIFF64 + struct.pack("<Q", 24 + len(begin) + size) + begin


def read_wav_header(read: Callable[[int], bytes]) -> tuple[bytes, WavHeader | None]:
    """Read up to where the sound begins.

    Args:
        read: gives so many of the next bytes, fewer only at the end.

    Returns what was read, and the header, or None if that is none of a wav file.
    """
    content = read(12)
    if content[:4] not in (b"RIFF", b"RF64", b"BW64") or content[8:] != b"WAVE":
        return content, None
    whole, sizes, form = int.from_bytes(content[4:8], "little"), None, None
    while len(content) < MOST_BYTES:
        chunk = read(8)
        content += chunk
        if len(chunk) < 8:
            break
        name, size = chunk[:4], int.from_bytes(chunk[4:], "little")
        if name == b"data":
            if sizes:
                whole, size = sizes
            return content, form and WavHeader(content, form, size, whole)
        if size > MOST_BYTES:
            break
        inside = read(size + size % 2)
        content += inside
        if name == b"fmt ":
            form = inside[:size]
        elif name == b"ds64" and size >= 16:
            sizes = struct.unpack("<QQ", inside[:16])
    return content, None


def is_chunk_name(name: bytes) -> bool:
    """Whether these bytes can be the name of a chunk."""
    return name.isascii() and name.decode("ascii").isprintable()


def _is_no_length(size: int) -> bool:
    """Whether a length is one of those that stand for none."""
    return any(lowest <= size <= highest for lowest, highest in WITHOUT_LENGTH)


def goes_on_after_caf(path: str | os.PathLike) -> bool:
    """Whether something other than a chunk follows the chunks of a CAF file, such as another CAF file."""
    with open(path, "rb") as file:
        end, at = os.fstat(file.fileno()).st_size, 8
        while at + 12 <= end:
            file.seek(at)
            name, size = struct.unpack(">4sq", file.read(12))
            if name == b"caff" or not is_chunk_name(name) or not 0 <= size <= end - at - 12:
                break
            at += 12 + size
        file.seek(at)
        return any(file.read(MOST_BYTES))  # else zeros that fill it up
