"""A microphone's offset in a live stream, which a network takes for speech: found and taken off as it comes."""

import numpy as np

LEAST = 0.005  # offset that is taken off; less does no harm beside speech
HEARD_SECONDS = 0.01  # before an offset is believed: a period of a voice, whose mean is nearly 0
CERTAIN = 40.0  # times the mean's standard error, were samples independent; those of a voice are not
CUTOFF = 1.0  # Hz of the high-pass; a voice has nothing below 50


class OffsetFilter:
    """Passes a stream unchanged until its offset is clear, and takes that off from there on.

    It is clear where the mean of all samples so far stands out from their deviation: after 10 ms in the quiet that a
    stream begins with, later within speech. What follows goes through a high-pass, which keeps to an offset that
    drifts. A stream without an offset stays as it is.

    Args:
        sample_rate: of the stream, in Hz.
    """

    def __init__(self, sample_rate: int):
        self.heard = round(HEARD_SECONDS * sample_rate)
        self.forgotten = np.exp(-2 * np.pi * CUTOFF / sample_rate)  # of the running mean, what a sample leaves
        self.reset()

    def reset(self) -> None:
        """Forget the stream, for the next one."""
        self.count = self.total = self.squares = 0.0
        self.state = None  # of the running mean's filter, once there is an offset

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        """Take the next samples, float32 [any number], and return as many."""
        if self.state is None:
            unchanged = self.listen(samples)
            if self.state is None:
                return samples
            return np.concatenate([samples[:unchanged], self(samples[unchanged:])])
        from scipy.signal import lfilter  # takes half a second, for streams with an offset alone

        means, self.state = lfilter([1 - self.forgotten], [1, -self.forgotten], samples, zi=self.state)
        return (samples - means).astype(np.float32)

    def listen(self, samples: np.ndarray) -> int:
        """Begin to filter if these samples make an offset clear. Returns how many of them came before that."""
        wide = samples.astype(np.float64)
        count = self.count + np.arange(1, len(wide) + 1)
        total = self.total + np.cumsum(wide)
        squares = self.squares + np.cumsum(wide**2)
        mean = total / count
        certain = count * mean**2 > CERTAIN**2 * (squares / count - mean**2)
        clear = certain & (count >= self.heard) & (np.abs(mean) > LEAST)
        if clear.any():
            first = int(clear.argmax())
            self.state = np.array([self.forgotten * mean[first]])
            return first + 1
        if len(wide):
            self.count, self.total, self.squares = count[-1], total[-1], squares[-1]
        return len(wide)
