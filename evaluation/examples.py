"""The mixtures that the page of an evaluation lets one see and hear."""

from collections.abc import Sequence

from device import Network

from corpus.index import Index
from evaluation.evaluator import separate_mixtures
from evaluation.report import Example
from evaluation.scores import Scores


def choose_examples(scores: Sequence[Scores]) -> dict[str, int]:
    """The mixtures to show: {"best", "median" and "worst": number} by SI-SNR improvement, as far as they differ."""
    scored = [number for number, each in enumerate(scores) if not each.silent]
    ranked = sorted(scored, key=lambda number: -scores[number].means["si_snr"].improvement)
    kinds = {1: ["only"], 2: ["best", "worst"]}.get(len(ranked), ["best", "median", "worst"])
    places = {"best": 0, "only": 0, "median": len(ranked) // 2, "worst": -1}
    return {kind: ranked[places[kind]] for kind in kinds} if ranked else {}


def separate_examples(
    net: Network, index: Index, scores: Sequence[Scores], batch_size: int, num_workers: int
) -> list[Example]:
    """Choose mixtures by their scores and separate them once more; the arguments are as for `evaluator.evaluate`."""
    chosen = choose_examples(scores)
    signals = separate_mixtures(net, index, list(chosen.values()), batch_size, num_workers)
    return [
        Example(kind, scores[number], *each, index.sample_rate)
        for (kind, number), each in zip(chosen.items(), signals, strict=True)
    ]
