"""evaluation/examples.py: which mixtures a page shows."""

import numpy as np
import pytest

from evaluation.examples import choose_examples
from evaluation.scores import Scores, Values


@pytest.mark.parametrize(
    ("improvements", "chosen"),
    [
        ([3, 1, 5, 2, 4], {"best": 2, "median": 0, "worst": 1}),
        ([3, None, 5], {"best": 2, "worst": 0}),
        ([None, 2], {"only": 1}),
        ([None], {}),
    ],
)
def test_choice_of_examples(improvements, chosen):
    scores = [
        Scores(None if value is None else (0,), {"si_snr": Values(*np.full((3, 1), value, float))}, 1.0)
        for value in improvements
    ]
    assert choose_examples(scores) == chosen and list(choose_examples(scores)) == list(chosen)
