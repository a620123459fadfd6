"""Test sets of noise, and networks that stand in for a trained one: what they estimate is known to the sample."""

import json
from types import SimpleNamespace

import mindspore as ms
import numpy as np
import soundfile

RATE = 8000
LENGTHS = [3001, 4000, 2003, 3999, 2500]


def write_set(folder, speakers, lengths=LENGTHS, silent=(), names=None):
    """An index of noise; `silent` has pairs of a mixture and a source. Returns the sources [C, T] of each."""
    names = names or [f"mixture{number}" for number in range(len(lengths))]
    random = np.random.default_rng(speakers)
    rows = {kind: [] for kind in ["mix", *(f"s{source + 1}" for source in range(speakers))]}
    everything = []
    for number, (name, length) in enumerate(zip(names, lengths, strict=True)):
        sources = 0.1 * random.normal(size=(speakers, length)).astype(np.float32)
        for source in range(speakers):
            if (number, source) in silent:
                sources[source] = 0
        noise = 0.05 * random.normal(size=length).astype(np.float32)
        for kind, samples in zip(rows, [sources.sum(0) + noise, *sources], strict=True):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            path = folder / kind / f"{name}.wav"
            soundfile.write(path, samples, RATE, subtype="FLOAT")
            rows[kind].append([str(path), length])
        everything.append(sources)
    for kind, entries in rows.items():
        (folder / f"{kind}.json").write_text(json.dumps(entries))
    return everything


class RotatingNet:
    """Knows the sources, and gives them in cyclic order with a known error."""

    def __init__(self, speakers):
        self.options, self.sample_rate = SimpleNamespace(C=speakers, hop=4, gap=100), RATE
        self.known = {}  # from a mixture's second sample to its sources

    def trainable_params(self):
        return []

    def __call__(self, mixture, lengths, starts):
        estimates = np.zeros((mixture.shape[0], self.options.C, mixture.shape[1]), np.float32)
        rows = zip(estimates, mixture.asnumpy(), lengths.asnumpy(), starts.asnumpy(), strict=True)
        for estimate, samples, row_lengths, row_starts in rows:
            for length, start in zip(row_lengths, row_starts, strict=True):
                if length:
                    estimate[:, start : start + length] = self.known[float(samples[start + 1])]
        return ms.Tensor(estimates)


def rotating_net(folder, everything):
    """The network for this set: estimate c + 1 is source c and some of source c + 1."""
    net = RotatingNet(len(everything[0]))
    for (path, _), sources in zip(json.loads((folder / "mix.json").read_text()), everything, strict=True):
        mixture, _ = soundfile.read(path, dtype="float32")
        leaky = sources + 0.1 * np.roll(sources, 1, axis=0) + 0.01
        net.known[float(mixture[1])] = np.roll(leaky, 1, axis=0)
    return net


class FilteringNet:
    """Estimate c is the mixture through a filter of its own, which passes some of a tone or none of it."""

    def __init__(self, speakers, sample_rate):
        self.options, self.sample_rate = SimpleNamespace(C=speakers, hop=4, gap=100), sample_rate

    def trainable_params(self):
        return []

    def separate(self, samples):
        """[T] -> [C, T]."""
        filters = [[0.8, 0.3, -0.2], [0.5, -0.5, 0.1]][: self.options.C]
        return np.stack([np.convolve(samples, taps)[: len(samples)] for taps in filters]).astype(np.float32)

    def __call__(self, mixture, lengths, starts):
        return ms.Tensor(np.stack([self.separate(samples) for samples in mixture.asnumpy()]))
