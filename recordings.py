"""Recordings on standard input and estimates on standard output, as wav."""

import struct
import sys

import numpy as np
import soundfile

from errors import UserError


def open_standard_input():
    """Standard input as a soundfile.SoundFile. Raises UserError if it is not wav."""
    try:
        return soundfile.SoundFile(sys.stdin.fileno(), closefd=False)
    except (OSError, RuntimeError) as error:
        raise UserError(f"standard input: not wav, of the formats the one that can be piped ({error})") from None


class WavStream:
    """A wav of 32-bit floats on standard output, written as it comes, a channel a speaker.

    Its header promises the most that one can, unless standard output is a file, where the length is put right.
    """

    def __init__(self, sample_rate, channels):
        # Not sys.stdout, which may be turned aside for what is said to a person.
        self.stream, self.sample_rate, self.channels, self.bytes = sys.__stdout__.buffer, sample_rate, channels, 0
        self.write_header(2**32 - 1)

    def write_header(self, size):
        frame = 4 * self.channels
        form = struct.pack("<HHIIHH", 3, self.channels, self.sample_rate, self.sample_rate * frame, frame, 32)
        self.stream.write(struct.pack("<4sI8sI", b"RIFF", min(size + 36, 2**32 - 1), b"WAVEfmt ", len(form)) + form)
        self.stream.write(struct.pack("<4sI", b"data", size))

    def write(self, estimates):
        """Write estimates [C, n] and pass them on at once."""
        self.stream.write(np.ascontiguousarray(estimates.T, "<f4").tobytes())
        self.stream.flush()
        self.bytes += 4 * estimates.size

    def close(self):
        if self.stream.seekable() and self.bytes < 2**32:
            self.stream.seek(0)
            self.write_header(self.bytes)
            self.stream.flush()
