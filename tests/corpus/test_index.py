"""corpus/index.py: what an index says of itself."""

import numpy as np
import pytest
from small_corpus import RATE, make_corpus

from common.errors import UserError
from corpus.index import segment_samples
from corpus.loading import load_index


def test_describe(tmp_path):
    make_corpus(tmp_path, [RATE * 9, RATE * 3, RATE])
    index = load_index(tmp_path, RATE)
    assert index.describe(4.0) == "3 mixtures of 2 sources, 0.00 hours, 5 examples of 4 s, 2 shorter"
    assert index.describe() == "3 mixtures of 2 sources, 0.00 hours"
    assert index.describe(cv_maxlen=3) == "2 mixtures of 2 sources, 0.00 hours; 1 longer than 3 s left out, 0.00 hours"
    index.lengths = np.array([2, 1, 1]) * 3600 * RATE
    assert index.describe().endswith(", 4.00 hours")
    assert index.describe(cv_maxlen=3600).endswith("s, 2.00 hours; 1 longer than 3600 s left out, 2.00 hours")


def test_segment_is_rounded_to_samples():
    assert segment_samples(4.0, 8000) == 32000
    assert segment_samples(0.1, 11025) == 1102


def test_another_number_of_sources(tmp_path):
    make_corpus(tmp_path, [300], speakers=3)
    index = load_index(tmp_path, RATE)
    index.require_sources(3, "--C is")
    with pytest.raises(UserError, match=f"^{tmp_path}: 3 sources in a mixture, but --C is 2; take"):
        index.require_sources(2, "--C is")
