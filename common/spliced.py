"""Bytes and stretches of a file, one after another, as one file or through a pipe: for headers that are put right."""

import io
import os
import threading
from bisect import bisect_right
from collections.abc import Iterable
from contextlib import suppress
from itertools import accumulate

BLOCK = 65536  # bytes that are copied at once


class Spliced(io.RawIOBase):
    """A file to read that consists of pieces: bytes, or stretches (begin, end) of the file `path`."""

    def __init__(self, path: str | os.PathLike, pieces: Iterable[bytes | tuple[int, int]]):
        self.file = open(path, "rb")  # noqa: SIM115, closed with this
        self.pieces = list(pieces)
        sizes = [len(piece) if isinstance(piece, bytes) else piece[1] - piece[0] for piece in self.pieces]
        self.ends = list(accumulate(sizes, initial=0))  # where each piece begins, and the last one ends
        self.at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self.at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self.at, os.SEEK_END: self.ends[-1]}[whence]
        return self.at

    def tell(self) -> int:
        return self.at

    def readinto(self, buffer: memoryview) -> int:
        if self.at >= self.ends[-1]:
            return 0
        number = bisect_right(self.ends, self.at) - 1
        inside, size = self.at - self.ends[number], min(len(buffer), self.ends[number + 1] - self.at)
        piece = self.pieces[number]
        if isinstance(piece, bytes):
            read = piece[inside : inside + size]
        else:
            self.file.seek(piece[0] + inside)
            read = self.file.read(size)
        buffer[: len(read)] = read
        self.at += len(read)
        return len(read)

    def close(self) -> None:
        self.file.close()
        super().close()


def spliced(path: str | os.PathLike, pieces: Iterable[bytes | tuple[int, int]]) -> io.BufferedReader:
    """The same, buffered."""
    return io.BufferedReader(Spliced(path, pieces), BLOCK)


def piped(begin: bytes, descriptor: int) -> int:
    """A pipe to read from, through which `begin` comes, and then what `descriptor` gives, to its end."""
    source, sink = os.pipe()

    def copy() -> None:
        with open(sink, "wb", buffering=0) as stream, suppress(OSError):  # its reader may have ended
            block = begin
            while block:
                while block:
                    block = block[stream.write(block) :]
                block = os.read(descriptor, BLOCK)

    threading.Thread(target=copy, daemon=True).start()
    return source
