"""Who is who in the pieces of a recording: their orders, decided over all pieces together.

Two pieces heard the same speech where they overlap, which mostly tells whose estimates belong together. Where nobody
speaks there, or the network is wrong, it does not, and a wrong order would last to the end of the recording. So what
the voices are like counts as well: a long-term spectrum of every estimate, beside those of all other pieces.
"""

from collections.abc import Iterable
from itertools import permutations

import numpy as np

from common.estimates import best_permutation
from common.numbers import ceil_div

FRAME_SECONDS = 0.064
BANDS = 24  # log-spaced, from LOWEST to HIGHEST
LOWEST = 80.0  # Hz
HIGHEST = 0.4875  # of the sample rate
LEAD = 10**0.5  # 5 dB: a voice is described where it is that much louder than the others
AUDIBLE = 0.05  # of the power of its loudest frames; below that a voice is not described
FEWEST, HALF_SURE = 10, 20  # frames of a description, below which it is none, and at which half of it is believed
VOICE_WEIGHT = 2.0  # of what voices say, beside what overlaps say; from 1 to 8 it makes little difference
ANCHORS = 8  # pieces that the search begins from, one after the other
MOST_SPEAKERS = 5  # whose orders, 120, are gone through; of more the overlaps alone decide
ROUNDS = 30  # of the search from one anchor, which mostly takes three


def describe(estimates: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """What the voices in a piece's estimates [C, n] are like.

    Returns of each voice the mean and the spread of its spectrum over the frames in which it leads, in dB by band with
    the frame's mean left out, [C, 2 * bands], and how much is to be made of that, from 0 to 1: [C].
    """
    powers = band_powers(estimates, sample_rate)  # [C, frames, bands]
    totals = powers.sum(axis=2)  # [C, frames]
    descriptions, certain = np.zeros((len(estimates), 2 * powers.shape[2])), np.zeros(len(estimates))
    for voice, total in enumerate(totals):
        others = np.delete(totals, voice, axis=0).max(axis=0, initial=0)
        leads = (total > LEAD * others) & (total > AUDIBLE * np.percentile(total, 95))
        if (frames := np.count_nonzero(leads)) >= FEWEST:
            spectrum = 10 * np.log10(powers[voice, leads] + 1e-12 * totals.max())  # [frames, bands]
            spectrum -= spectrum.mean(axis=1, keepdims=True)
            descriptions[voice] = np.concatenate([spectrum.mean(axis=0), spectrum.std(axis=0)])
            certain[voice] = frames / (frames + HALF_SURE)
    return descriptions, certain


def band_powers(signals: np.ndarray, sample_rate: int) -> np.ndarray:
    """Mean power of signals [C, n] in log-spaced bands: [C, frames, bands], fewer of them at low rates."""
    length = 2 * ceil_div(round(FRAME_SECONDS * sample_rate), 2)
    signals = np.pad(signals, ((0, 0), (0, max(0, length - signals.shape[1]))))
    frames = np.lib.stride_tricks.sliding_window_view(signals, length, axis=1)[:, :: length // 2]
    power = np.abs(np.fft.rfft(frames * np.hanning(length).astype(np.float32))) ** 2  # [C, frames, length / 2 + 1]
    edges = np.geomspace(LOWEST, HIGHEST * sample_rate, BANDS + 1) * length / sample_rate
    edges = np.unique(np.ceil(edges).astype(int))
    return np.add.reduceat(power[:, :, : edges[-1]], edges[:-1], axis=2) / np.diff(edges)


def agreement(tail: np.ndarray, head: np.ndarray) -> np.ndarray:
    """Correlation of what two pieces say of their overlap, [C, n] each: [C, C], the sum of a best match at most 1.

    It is not normalised by speaker, so that the louder one, whose estimates are more certain, decides where another is
    silent.
    """
    tail, head = tail.astype(np.float64), head.astype(np.float64)
    energies = np.sqrt((tail**2).sum() * (head**2).sum())
    return tail @ head.T / max(energies, np.finfo(np.float64).tiny)


def chained_orders(C: int, agreements: Iterable[np.ndarray]) -> np.ndarray:
    """Orders [K, C] of pieces, each by its `agreement` [C, C] with the one before it alone."""
    orders = [np.arange(C)]
    for values in agreements:
        orders.append(best_permutation(values[orders[-1]]))
    return np.array(orders)


def speaker_orders(voices: list[tuple[np.ndarray, np.ndarray]], agreements: list[np.ndarray]) -> np.ndarray:
    """Decide the orders of all pieces of a recording together.

    Args:
        voices: of each of K pieces, what `describe` gives for its C estimates.
        agreements: of each piece but the last with the next, `agreement` [C, C].

    Returns int [K, C]: of each piece the estimates, from 0, in the order of the first piece's. They have the highest
    sum of agreements and of what speaks for a voice being the one in the other pieces. That is looked for in turns,
    from several first orders: what the voices are like in an order, and the best order for such voices.
    """
    descriptions, certain = map(np.array, zip(*voices, strict=True))  # [K, C, F], [K, C]
    K, C = certain.shape
    chained = chained_orders(C, agreements)
    if K == 1 or C > MOST_SPEAKERS:
        return chained
    search = Search(descriptions, certain, np.array(agreements))
    parts = np.array_split(np.arange(K), min(ANCHORS, K))
    anchors = [part[certain[part].min(axis=1).argmax()] for part in parts]
    firsts = [search.states(chained), *(search.beginning_with(anchor) for anchor in anchors)]
    states = max((search.improved(first) for first in firsts), key=search.value)
    orders = search.orders[states]
    return np.take_along_axis(orders, np.argsort(orders[0])[np.newaxis], axis=1)


class Search:
    """The orders that pieces can have, and what speaks for each.

    A state is the number of an order: `orders[state]` [C] is the estimate of each voice.

    Args:
        descriptions: of the voices in K pieces, [K, C, F].
        certain: how much is to be made of them, from 0 to 1, [K, C].
        agreements: of each piece but the last with the next, [K - 1, C, C].
    """

    def __init__(self, descriptions: np.ndarray, certain: np.ndarray, agreements: np.ndarray):
        C = descriptions.shape[1]
        self.certain = certain
        mean, spread = weighted_mean_and_spread(descriptions, certain)
        self.descriptions = (descriptions - mean) / spread
        self.orders = np.array(list(permutations(range(C))))  # [C!, C]
        numbers = {tuple(order): number for number, order in enumerate(self.orders)}
        relative = [[later[np.argsort(order)] for later in self.orders] for order in self.orders]
        self.relative = np.array([[numbers[tuple(order)] for order in row] for row in relative])  # [C!, C!]
        self.agreements = agreements[:, np.arange(C), self.orders].sum(axis=2)  # [K - 1, C!], by relative order

    def states(self, orders: np.ndarray) -> np.ndarray:
        """The states of orders [K, C]."""
        return (orders[:, np.newaxis] == self.orders).all(axis=2).argmax(axis=1)

    def improved(self, states: np.ndarray) -> np.ndarray:
        """From these states on, in turns: the voices, then the best states for them, until nothing changes."""
        for _ in range(ROUNDS):
            before, states = states, self.best_path(self.evidence(states, self.certain))
            if (states == before).all():
                break
        return states

    def beginning_with(self, anchor: int) -> np.ndarray:
        """The best states if the voices are what they are in one piece."""
        known = np.zeros_like(self.certain)
        known[anchor] = self.certain[anchor]
        return self.best_path(self.evidence(np.zeros(len(known), int), known))

    def value(self, states: np.ndarray) -> float:
        """What speaks for these states in all; each pair of pieces counts once."""
        voices = self.evidence(states, self.certain)[np.arange(len(states)), states].sum() / 2
        overlaps = self.relative[states[:-1], states[1:]]
        return voices + self.agreements[np.arange(len(overlaps)), overlaps].sum()

    def evidence(self, states: np.ndarray, known: np.ndarray) -> np.ndarray:
        """What the voices say for each state of each piece: [K, C!], of mean 0 over the states.

        Voices are what they are in the other pieces in their `states`, which are believed as `known` [K, C] says.
        """
        K, C = known.shape
        orders = self.orders[states]
        weights = np.take_along_axis(known, orders, axis=1)[..., np.newaxis]  # [K, C, 1], by voice
        weighted = weights * np.take_along_axis(self.descriptions, orders[..., np.newaxis], axis=1)
        others = weights.sum(axis=0) - weights  # [K, C, 1]
        voices = (weighted.sum(axis=0) - weighted) / np.maximum(others, 1e-9)  # [K, C, F]
        likeness = voices @ self.descriptions.transpose(0, 2, 1) - (voices**2).sum(axis=2, keepdims=True) / 2
        likeness *= VOICE_WEIGHT * self.certain[:, np.newaxis] / voices.shape[2]  # [K, C, C]: voice, estimate
        values = likeness[:, np.arange(C), self.orders].sum(axis=2)
        return values - values.mean(axis=1, keepdims=True)

    def best_path(self, evidence: np.ndarray) -> np.ndarray:
        """The states of highest evidence [K, C!] and agreements in sum, by Viterbi's algorithm."""
        best, come_from = evidence[0], []
        for agreements, own in zip(self.agreements, evidence[1:], strict=True):
            paths = best[:, np.newaxis] + agreements[self.relative]  # [C!, C!]: from, to
            come_from.append(paths.argmax(axis=0))
            best = paths.max(axis=0) + own
        states = [best.argmax()]
        for before in reversed(come_from):
            states.append(before[states[-1]])
        return np.array(states[::-1])


def weighted_mean_and_spread(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation [F] of values [K, C, F] with weights [K, C]; the latter 1 where nothing varies."""
    weights = (weights / max(weights.sum(), 1e-9))[..., np.newaxis]
    mean = (weights * values).sum(axis=(0, 1))
    spread = np.sqrt((weights * (values - mean) ** 2).sum(axis=(0, 1)))
    spread[spread < 1e-6] = 1
    return mean, spread
