"""The streams of an Ogg file, which may come one after another: libsndfile reads the first.

The layout of pages: RFC 3533.
"""

import mmap
import os
from dataclasses import dataclass, field

FIRST_PAGE, LAST_PAGE = 2, 4  # flags
TABLE = [byte << 24 for byte in range(256)]  # of the checksum: what each byte adds to it
for _ in range(8):
    TABLE = [entry << 1 ^ (0x104C11DB7 if entry >> 31 & 1 else 0) for entry in TABLE]


@dataclass
class OggStream:
    """A stretch of a file that libsndfile reads whole: a stream, or several at once, such as sound and a picture.

    Attributes:
        begin, end: where it is.
        counts: of each stream by its number, the sample at which the last page ends, and that of the page before.
        has_end: whether its last page is there and sound: libsndfile passes by one that is not.
        in_order: whether the pages come one after another, each once, and nothing else between or after them.
    """

    begin: int
    end: int = 0
    counts: dict[int, tuple[int, int]] = field(default_factory=dict)
    has_end: bool = False
    in_order: bool = True

    @property
    def last_seek(self) -> int:
        """The last sample that libsndfile finds: in the last page of Vorbis it is some 100 samples off."""
        return max(0, min((before for _, before in self.counts.values()), default=0) - 1)


def ogg_streams(path: str | os.PathLike) -> list[OggStream]:
    """Find the streams of a file, one after another."""
    streams, beginning, at, end = [], False, 0, 0
    following = {}  # of each stream's number, that of its next page
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        while (at := content.find(b"OggS", end)) >= 0 and at + 27 <= len(content):
            flags, segments = content[at + 5], content[at + 26]
            if not streams or (flags & FIRST_PAGE and not beginning):
                streams.append(OggStream(at))
            stream, beginning = streams[-1], bool(flags & FIRST_PAGE)
            sample = int.from_bytes(content[at + 6 : at + 14], "little", signed=True)
            number, page = content[at + 14 : at + 18], int.from_bytes(content[at + 18 : at + 22], "little")
            stream.in_order &= at == end and (beginning or page == following.get(number, page))
            following[number] = page + 1
            end = at + 27 + segments + sum(content[at + 27 : at + 27 + segments])
            last = content[at:end]
            stream.end, stream.has_end = min(end, len(content)), bool(flags & LAST_PAGE) and end <= len(content)
            if sample >= 0:  # a sample ends in this page
                before, _ = stream.counts.get(number, (0, 0))
                stream.counts[number] = sample, before
        streams[-1].in_order &= end >= len(content)
        streams[-1].has_end &= _is_sound(last)
    return streams


def _is_sound(page: bytes) -> bool:
    """Whether a page has the checksum that it states: CRC-32, but from the other end of each byte than zlib's."""
    checksum = 0
    for byte in page[:22] + bytes(4) + page[26:]:
        checksum = (checksum << 8 & 0xFFFFFFFF) ^ TABLE[checksum >> 24 ^ byte]
    return checksum == int.from_bytes(page[22:26], "little")
