"""Standard input as it comes, for `separate.py --streaming -`."""

import os
from typing import Any

import numpy as np
import soundfile

from common.audio_file import UNFINISHED
from common.errors import UserError
from common.riff import is_chunk_name, read_wav_header
from common.spliced import piped
from recordings.inputs import standard_input


class LiveInput(soundfile.SoundFile):
    """Standard input, to read as it comes. Prints what a person should know of it at its beginning and its end.

    Raises UserError if it is not wav, of the formats the one that can be piped.
    """

    def __init__(self):
        source = standard_input()
        try:
            begin, self._header = read_wav_header(lambda size: read_bytes(source, size))
            after = read_bytes(source, 8)
            self._is_unfinished = self._header is not None and self._header.is_unfinished(after)
            if self._is_unfinished:
                print(f"standard input: {UNFINISHED}")
                begin = self._header.completed(2**62)
            elif self._header and begin[:4] != b"RIFF" and self._header.size < 2**32 - 2**16:
                begin = self._header.as_riff()  # of RF64 in a pipe libsndfile loses samples
            self._pipe, self._count = piped(begin + after, source), 0
            super().__init__(self._pipe)
        except (OSError, RuntimeError) as error:
            raise UserError(f"standard input: not wav, of the formats the one that can be piped ({error})") from None

    def read(self, *args: Any, **options: Any) -> np.ndarray:
        """See soundfile.SoundFile. Raises UserError if it cannot be decoded."""
        try:
            samples = super().read(*args, **options)
        except RuntimeError as error:
            raise UserError(f"standard input: cannot be decoded as it comes ({error}); pipe wav") from None
        self._count += len(samples)
        if not len(samples) and self._header and not self._is_unfinished:
            self._print_end()
        return samples

    def _print_end(self) -> None:
        if self._count < self.frames:
            print(
                f"standard input: cut short, {self._count} samples came of the {self.frames} that its header promises"
            )
        after = read_bytes(self._pipe, 9).lstrip(b"\0")[:4]
        if after and (after in (b"RIFF", b"data") or not is_chunk_name(after)):
            print("standard input: more follows the sound that its header tells of, and is passed by")


def read_bytes(descriptor: int, size: int) -> bytes:
    """So many bytes, fewer only at the end."""
    found = b""
    while len(found) < size and (more := os.read(descriptor, size - len(found))):
        found += more
    return found
