"""A causal network on a live stream, a chunk at a time.

    streamer = Streamer(load_in_numpy("causal.ckpt"))
    for samples in microphone:
        play(streamer.push(samples))  # [any number] -> [C, what is ready]
    play(streamer.finish())

The output lags a hop behind the input: each sample lies in two frames, the second of which ends up to a hop later.
"""

import numpy as np

from common.errors import UserError
from network.in_numpy import NumpyNetwork
from network.numpy_layers import FRAMES_AT_ONCE
from network.options import frame_count
from recordings.offset import OffsetFilter


class Streamer:
    """Separates a stream into what the network gives for the whole of it, but for rounding. Its state does not grow.

    A stream with an offset is heard without it (see `OffsetFilter`).

    Args:
        net: a causal network, which separates nothing else until the stream has ended.

    Attributes:
        delay_ms: milliseconds that the output lags behind the input, one hop.

    Raises UserError if the network is not causal.
    """

    def __init__(self, net: NumpyNetwork):
        if not net.options.causal:
            raise UserError("--streaming: the network looks ahead; train one with --causal 1 --norm_type cgLN (or cLN)")
        self.net, self.C, self.hop, self.padding = net, net.options.C, net.options.hop, net.options.padding
        self.delay_ms = 1000 * self.hop / net.sample_rate
        self.without_offset = OffsetFilter(net.sample_rate)
        self.reset()

    def reset(self) -> None:
        """Forget the stream, for the next one."""
        self.net.separator.reset()
        self.without_offset.reset()
        self.front = self.hop if self.padding == "both" else 0  # zeros in front, whose estimates are dropped
        self.waiting = np.zeros(self.front, np.float32)  # the last complete hop, and what came after it
        self.tail = np.zeros((self.C, self.hop), np.float32)  # second half of the last frame
        self.received = self.given = 0  # samples

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Take the next samples, float32 [any number] at the network's rate.

        Returns the estimates [C, n] that are complete now: in all, as many hops as are complete, less one.
        """
        samples = np.asarray(samples, np.float32)
        if samples.ndim != 1:
            raise UserError(f"samples of shape {samples.shape}: must be one channel, [any number]")
        self.received += len(samples)
        estimates = self.advance(self.without_offset(samples))
        self.given += estimates.shape[1]
        return estimates

    def finish(self) -> np.ndarray:
        """End the stream. Returns the estimates that are left [C, n]: in all, there are as many as samples."""
        hops = frame_count(self.received, self.hop, self.padding) + 1
        missing = max(0, hops * self.hop - self.front - self.received)  # to whole frames
        rest = np.concatenate([self.advance(np.zeros(missing, np.float32)), self.tail], axis=1)
        left = self.received - self.given
        rest = np.pad(rest, ((0, 0), (0, max(0, left - rest.shape[1]))))[:, :left]
        self.reset()
        return rest

    def advance(self, samples: np.ndarray) -> np.ndarray:
        """Estimate what these samples complete: [any number] -> [C, whole hops]."""
        self.waiting = np.concatenate([self.waiting, samples])
        frames = len(self.waiting) // self.hop - 1
        if frames < 1:
            return np.zeros((self.C, 0), np.float32)
        hops = self.waiting[: (frames + 1) * self.hop].reshape(-1, self.hop)  # [frames + 1, hop]
        self.waiting = self.waiting[frames * self.hop :]
        starts = range(0, frames, FRAMES_AT_ONCE)
        estimates = np.concatenate([self.estimate(hops[k : k + FRAMES_AT_ONCE + 1]) for k in starts], axis=1)
        dropped = min(self.front, estimates.shape[1])
        self.front -= dropped
        return estimates[:, dropped:]

    def estimate(self, hops: np.ndarray) -> np.ndarray:
        """Separate the frames that these hops make: [K + 1, hop] -> [C, K * hop]."""
        w = self.net.encode(hops)  # [K, N]
        frames = self.net.decode(w, self.net.separator.masks(self.net.separator.advance(w)))  # [K, C, L]
        frames = frames.transpose(1, 0, 2)  # [C, K, L]
        first, second = frames[..., : self.hop], frames[..., self.hop :]  # [C, K, hop]
        halves = np.concatenate([self.tail[:, np.newaxis], second], axis=1)  # [C, K + 1, hop]
        self.tail = halves[:, -1].copy()
        return (first + halves[:, :-1]).reshape(self.C, -1)
