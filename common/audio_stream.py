"""One stream of an audio file, read where it is sought, or in sequence where libsndfile cannot seek."""

from collections.abc import Callable

import numpy as np
import soundfile

BLOCK = 65536  # frames that are read at once where all are read
MP3_LEAD = 16 * 1152  # samples before those asked for: a frame takes bits of frames before it, libsndfile of four
UNREADABLE = (soundfile.SoundFileError, RuntimeError, TypeError)  # TypeError: named .raw, so without a header


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
