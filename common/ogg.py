"""The streams of an Ogg file, which may come one after another: libsndfile reads the first.

The layout of pages: RFC 3533.
"""

import mmap
import os
from dataclasses import dataclass, field

FIRST_PAGE, LAST_PAGE = 2, 4  # flags


@dataclass
class OggStream:
    """A stretch of a file that libsndfile reads whole: a stream, or several at once, such as sound and a picture.

    Attributes:
        begin, end: where it is.
        counts: of each stream by its number, the sample at which the last page ends, and that of the page before.
        has_end: whether its last page is there.
    """

    begin: int
    end: int = 0
    counts: dict[int, tuple[int, int]] = field(default_factory=dict)
    has_end: bool = False

    @property
    def last_seek(self) -> int:
        """The last sample that libsndfile finds: in the last page of Vorbis it is some 100 samples off."""
        return max(0, min((before for _, before in self.counts.values()), default=0) - 1)


def ogg_streams(path: str | os.PathLike) -> list[OggStream]:
    """Find the streams of a file, one after another."""
    streams, beginning, at = [], False, 0
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        while (at := content.find(b"OggS", at)) >= 0 and at + 27 <= len(content):
            flags, segments = content[at + 5], content[at + 26]
            if not streams or (flags & FIRST_PAGE and not beginning):
                streams.append(OggStream(at))
            stream, beginning = streams[-1], bool(flags & FIRST_PAGE)
            sample, number = (
                int.from_bytes(content[at + 6 : at + 14], "little", signed=True),
                content[at + 14 : at + 18],
            )
            at += 27 + segments + sum(content[at + 27 : at + 27 + segments])
            stream.end, stream.has_end = min(at, len(content)), bool(flags & LAST_PAGE) and at <= len(content)
            if sample >= 0:  # a sample ends in this page
                last, _ = stream.counts.get(number, (0, 0))
                stream.counts[number] = sample, last
    return streams
