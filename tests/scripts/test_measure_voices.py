"""scripts/measure_voices.py: its errors are those that a library of others finds; its recordings are what they say."""

import numpy as np
import pytest

from recordings.activity import HOP_SECONDS
from scripts.measure_voices import KINDS, RATE, Speakers, activity_errors, true_activity, turns


def runs_of(active, names):
    """Segments (name, start, end) of bools [2, hops], as simpleder takes them, in hops."""
    found = []
    for name, each in zip(names, active, strict=True):
        ends = np.flatnonzero(np.diff(each, prepend=False, append=False)).reshape(-1, 2)
        found += [(name, float(start), float(stop)) for start, stop in ends]
    return found


@pytest.mark.parametrize("seed", range(5))
def test_errors_are_those_of_simpleder(seed):
    simpleder = pytest.importorskip("simpleder")
    random = np.random.default_rng(seed)
    true, found = (np.repeat(random.random((2, 40)) < share, 5, axis=1) for share in (0.5, random.random()))
    if seed % 2:
        found = np.roll(true[::-1], 3, axis=1)
    theirs = simpleder.DER(runs_of(true, "ab"), runs_of(found, "xy"), detailed=True)
    missed, false, other, speech, wrong = activity_errors(true, found)
    assert [missed, false, other, speech] == [
        theirs[name] for name in ("miss", "false_alarm", "confusion", "ref_length")
    ]
    assert wrong == min((true != each).sum() for each in (found, found[::-1]))


def test_turns_are_of_two_voices_that_hardly_overlap():
    gains = turns(16 * RATE, np.random.default_rng(0))
    assert gains.shape == (2, 16 * RATE)
    assert gains.min() >= 0 and gains.max() <= 1 + 1e-6
    assert (gains.mean(axis=1) > 0.2).all()
    assert (gains.min(axis=0) > 0.5).mean() < 0.2


def test_recordings_are_the_same_each_time_and_of_so_many_voices(shared):
    voices = Speakers(str(shared / "speech"), "dev")
    for kind in KINDS:
        for number in (0, 1):
            example, again = voices.example(kind, number), voices.example(kind, number)
            np.testing.assert_array_equal(example.mixture, again.mixture)
            assert example.noise.any() == (number == 0)
            active = true_activity(example.sources)
            assert active.shape == (2, -(-example.sources.shape[1] // round(HOP_SECONDS * RATE)))
            assert (active.mean(axis=1) > 0.2).tolist() == [True, kind != "alone"]
