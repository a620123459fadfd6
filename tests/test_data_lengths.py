"""data.py: how long batches of whole mixtures are, and how little of them is padding."""

import csv

import numpy as np
import pytest
from small_corpus import RATE, arrays, small_batches

from common import audio
from common.numbers import ceil_div
from corpus.index import Index
from data import whole_batches


class SilentIndex(Index):
    """Mixtures of any lengths, without files."""

    path, sources, sample_rate = "silence", 2, RATE

    def __init__(self, lengths):
        self.lengths = np.array(lengths)

    def __len__(self):
        return len(self.lengths)

    def read(self, number, start, length):
        return np.zeros((1 + self.sources, length), np.float32)


def test_batches_have_nearly_as_many_rows():
    for batches in (
        whole_batches(SilentIndex([800] * 15), 10, 1),
        small_batches(SilentIndex([800] * 15), 10, segment=-1, shuffle=0),
    ):
        assert [len(mixture) for mixture, _, _ in arrays(batches)] == [8, 7] and batches.rows == 8
    assert small_batches(SilentIndex([800] * 15), 10).rows == 10  # crops: the batches that were asked for
    assert small_batches(SilentIndex([800] * 5), 10).rows == 5


def test_lengths_are_rounded_up_where_it_costs_little():
    def padded(*tenths, batch_size=1):
        index = SilentIndex([800 * length for length in tenths])
        return [mixture.shape[1] // 800 for mixture, _, _ in arrays(whole_batches(index, batch_size, 1))]

    assert padded(100, 99, 10) == [100, 100, 10]  # 0.5 % padding; with one length it would be 30 %
    assert padded(100, 80, 80, 79) == [100, 80, 80, 80]  # 0.3 %; with one length 15 %
    assert padded(100, 88, 87) == [100, 88, 88]  # 0.4 %; with one length 8.3 %, which is too much
    assert padded(100, 89, 88) == [100, 100, 100]  # 7.7 %
    assert padded(100, 50, 80, 40, batch_size=2) == [100, 50]  # 10 % as it is, so nothing to spare
    index = SilentIndex([799, 801])
    assert [mixture.shape[1] for mixture, _, _ in arrays(whole_batches(index, 1, 1))] == [1600, 800]


def padding(index, batch_size):
    """The share of an epoch's frames (of 10 samples, silent rows included) that are padding; how many T there are."""
    batches = small_batches(index, batch_size, segment=-1)
    samples = [mixture.shape[1] for mixture, _, _ in arrays(batches)]
    computed = batches.rows * sum(ceil_div(length, 10) for length in samples)
    return 1 - np.ceil(index.lengths / 10).sum() / computed, len(set(samples))


@pytest.mark.parametrize("batch_size", [1, 2, 4, 8, 24])
def test_little_of_an_epoch_is_padding(batch_size):
    """Of mixtures that are about as long as LibriMix's: the shorter of two utterances, most of them near 14 s."""
    lengths = np.random.default_rng(3).triangular(1.5 * RATE, 14 * RATE, 16.5 * RATE, (2, 300)).min(axis=0)
    share, different = padding(SilentIndex(lengths.astype(np.int64)), batch_size)
    assert share < 0.1 and different <= 13


@pytest.mark.parametrize("speakers, utterances", [(2, 200), (3, 100)])
@pytest.mark.parametrize("batch_size", [1, 2, 4, 8, 24])
def test_little_of_an_epoch_of_real_lengths_is_padding(shared, batch_size, speakers, utterances):
    metadata = shared / "speech" / "metadata" / f"Libri{speakers}Mix" / f"libri{speakers}mix_dev-clean.csv"
    with open(metadata, encoding="utf-8") as stream:
        mixtures = [[row[f"source_{n + 1}_path"] for n in range(speakers)] for row in csv.DictReader(stream)]
    samples = {
        file: audio.audio_info(shared / "speech" / "LibriSpeech" / file).frames_at(RATE)
        for file in {file for files in mixtures for file in files}
    }
    index = SilentIndex([min(samples[file] for file in files) for files in mixtures])
    share, different = padding(index, batch_size)
    assert len(index) == utterances and share < 0.1 and different <= 9
