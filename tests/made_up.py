"""Scores, a summary and examples of an evaluation that never was."""

import numpy as np

from evaluation.report import Example
from evaluation.scores import Scores, Values
from evaluation.summary import summarize

RATE = 8000
FACTS = {
    "checkpoint": "exp/best.ckpt",
    "parameters": 1051676,
    "index": "index/tt",
    "hours": 0.25,
    "metrics": ["si_snr", "sdr"],
    "versions": {"python": "3.11.7", "mindspore": "2.10.0"},
}
MARKUP = "<script>alert(1)</script>"  # a file's name may be anything


def no_values(metrics, speakers=2):
    """What the scores of a silent mixture hold."""
    return dict.fromkeys(metrics, Values(*np.full((3, speakers), np.nan)))


def made_up(mixtures=40, speakers=2, seconds=1.5, silent=(), references=True, metrics=("si_snr", "sdr")):
    """Scores, summary and examples; the mixtures `silent` have no values."""
    random = np.random.default_rng(mixtures + speakers)
    scores = []
    for number in range(mixtures):
        values = {}
        for metric in metrics:
            before, improvement = random.normal(0, 3, speakers), random.normal(9, 2, speakers)
            values[metric] = Values(before, before + improvement, improvement)
        sexes = "".join(sorted(random.choice(["F", "M"], speakers)))
        order = tuple(range(speakers))
        if number in silent:
            order, values = None, no_values(metrics, speakers)
        scores.append(Scores(order, values, seconds, f"{MARKUP} {number}", sexes))
    examples = []
    for number, (kind, each) in enumerate(zip(("best", "median", "worst"), scores, strict=False)):
        moments = np.arange(round(seconds * RATE)) / RATE
        sources = np.stack([np.sin(2 * np.pi * 400 * (1 + source) * moments) for source in range(speakers)])
        if number in silent:
            sources[0] = 0
        estimates = sources + 0.1 * np.roll(sources, 1, axis=0) + 0.01 * random.normal(size=sources.shape)
        examples.append(Example(kind, each, sources.sum(0), sources if references else None, estimates, RATE))
    return scores, summarize(scores, FACTS), examples
