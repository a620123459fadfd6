"""data.py: which stretches come in which batch, bit for bit."""

import numpy as np
import pytest
from small_corpus import LENGTHS, RATE, arrays, assert_same, make_corpus, rows, small_batches

from common.errors import UserError
from corpus.loading import load_index
from data import training_batches, whole_batches


def test_tiles_are_the_whole_corpus_in_order(tmp_path):
    corpus = make_corpus(tmp_path)
    batches = small_batches(load_index(tmp_path, RATE), shuffle=0)  # tiles of 800 samples
    expected = [(u, start) for u, length in enumerate(LENGTHS) for start in range(0, length, 800)]
    found = rows(batches)
    assert len(found) == len(expected) == 4 + 2 + 2 + 1 + 6
    assert batches.order == [u for u, _ in expected]
    for (mixture, length, sources), (u, start) in zip(found, expected, strict=True):
        stretch = corpus[u][:, start : start + 800]
        assert length == stretch.shape[1]
        np.testing.assert_array_equal(mixture[:length], stretch[0])
        np.testing.assert_array_equal(sources[:, :length], stretch[1:])
        assert not mixture[length:].any() and not sources[:, length:].any()


def test_columns_and_types(tmp_path):
    make_corpus(tmp_path)
    batches = small_batches(load_index(tmp_path, RATE), batch_size=4)
    assert batches.dataset.get_col_names() == ["mixture", "lengths", "sources"]
    found = arrays(batches)
    assert [len(mixture) for mixture, _, _ in found] == [4, 4, 4, 3] and len(batches) == 4  # the last is smaller
    for mixture, lengths, sources in found:
        assert mixture.shape == (len(lengths), 800) and sources.shape == (len(lengths), 2, 800)
        assert (mixture.dtype, lengths.dtype, sources.dtype) == (np.float32, np.int32, np.float32)


def test_random_crops_lie_inside_and_cover_every_start(tmp_path):
    corpus = make_corpus(tmp_path, [803, 1605, 333])
    index = load_index(tmp_path, RATE)
    starts = {0: set(), 1: set()}
    for epoch in range(40):
        batches = small_batches(index, epoch=epoch, batch_size=8)
        assert sorted(batches.order) == [0, 0, 1, 1, 1, 2]  # ceil(length / 800) of each
        for u, (mixture, length, sources) in zip(batches.order, rows(batches), strict=True):
            if u == 2:
                assert length == 333 and not mixture[333:].any() and not sources[:, 333:].any()
                np.testing.assert_array_equal(sources[:, :333], corpus[2][1:])
                continue
            (start,) = np.flatnonzero(corpus[u][0, : len(corpus[u][0]) - 799] == mixture[0])
            assert length == 800
            np.testing.assert_array_equal(np.vstack([mixture, sources]), corpus[u][:, start : start + 800])
            starts[u].add(int(start))
    assert starts[0] == {0, 1, 2, 3}
    assert min(starts[1]) < 100 and max(starts[1]) > 705


def test_crops_follow_seed_and_epoch_alone(tmp_path):
    make_corpus(tmp_path)
    index = load_index(tmp_path, RATE)
    first = arrays(small_batches(index, num_workers=1))
    assert_same(first, arrays(small_batches(load_index(tmp_path, RATE), num_workers=2)))
    assert_same(first, arrays(small_batches(index, num_workers=50)))  # more than there are cores
    for other in (small_batches(index, epoch=1), small_batches(index, seed=1)):
        assert not np.array_equal(first[0][0], arrays(other)[0][0])


@pytest.mark.parametrize("segment, ranks", [(0.1, 2), (0.1, 5), (-1, 2)])
def test_ranks_share_each_batch(tmp_path, segment, ranks):
    """Together they have the rows of one device with the whole batch; who has none gets a row of length 0."""
    make_corpus(tmp_path)
    index = load_index(tmp_path, RATE)
    whole = arrays(small_batches(index, batch_size=2 * ranks, segment=segment))
    shares = [
        training_batches(index, 2, segment, 1, seed=0, epoch=0, num_workers=1, share=(rank, ranks))
        for rank in range(ranks)
    ]
    assert all(len(share) == len(whole) and share.rows <= 2 for share in shares)
    for one, parts in zip(whole, zip(*map(arrays, shares), strict=True), strict=True):
        sizes = [np.count_nonzero(lengths) for _, lengths, _ in parts]
        assert max(sizes) - min(sizes) <= 1
        for column, pieces in zip(one, zip(*parts, strict=True), strict=True):
            np.testing.assert_array_equal(np.concatenate([p[:n] for p, n in zip(pieces, sizes, strict=True)]), column)


def test_ranks_share_the_validation(tmp_path):
    make_corpus(tmp_path)
    index = load_index(tmp_path, RATE)
    shares = [whole_batches(index, 1, 1, share=(rank, 2)) for rank in range(2)]
    lengths = [int(length) for share in shares for _, length, _ in rows(share) if length]
    assert sorted(lengths) == sorted(LENGTHS)


@pytest.mark.parametrize("segment", [0.1, -1])
def test_beginning_within_an_epoch(tmp_path, segment):
    make_corpus(tmp_path)
    index = load_index(tmp_path, RATE)
    whole = small_batches(index, batch_size=2, segment=segment)
    rest = training_batches(index, 2, segment, 1, seed=0, epoch=0, num_workers=1, first=2)
    assert_same(arrays(rest), arrays(whole)[2:])
    assert (rest.order, rest.rows) == (whole.order[-len(rest.order) :], whole.rows)


@pytest.mark.parametrize("shuffle", [0, 1])
def test_whole_mixtures_for_training(tmp_path, shuffle):
    lengths = list(range(800, 2300, 100))
    corpus = make_corpus(tmp_path, lengths)
    index = load_index(tmp_path, RATE)
    batches = small_batches(index, segment=-1, batch_size=2, shuffle=shuffle)
    assert sorted(batches.order) == list(range(15))
    for u, (mixture, length, sources) in zip(batches.order, rows(batches), strict=True):
        assert length == lengths[u]
        np.testing.assert_array_equal(np.vstack([mixture, sources])[:, :length], corpus[u])
    heads = [int(lengths.max()) for _, lengths, _ in arrays(batches)]
    assert all(np.ptp(lengths) <= 100 for _, lengths, _ in arrays(batches))  # neighbours
    assert (heads == sorted(heads, reverse=True)) == (shuffle == 0)
    other = small_batches(index, segment=-1, batch_size=2, shuffle=shuffle, epoch=1)
    assert (batches.order == other.order) == (shuffle == 0)


def test_whole_mixtures_for_evaluation(tmp_path):
    corpus = make_corpus(tmp_path, speakers=3)
    batches = whole_batches(load_index(tmp_path, RATE), 2, 2, cv_maxlen=0.4)
    assert batches.order == [0, 2, 1, 3]  # the longest, 4001 samples, is left out
    assert [mixture.shape for mixture, _, _ in arrays(batches)] == [(2, 3200), (2, 1600)]
    for _ in range(2):  # again and again
        for u, (mixture, length, sources) in zip(batches.order, rows(batches), strict=True):
            np.testing.assert_array_equal(np.vstack([mixture, sources])[:, :length], corpus[u])
            assert not mixture[length:].any() and not sources[:, length:].any()
    assert whole_batches(load_index(tmp_path, RATE), 2, 2).order == [4, 0, 2, 1, 3]


@pytest.mark.parametrize("speakers", [1, 3, 5])
def test_any_number_of_speakers(tmp_path, speakers):
    corpus = make_corpus(tmp_path, [500, 400], speakers)
    index = load_index(tmp_path, RATE)
    assert index.sources == speakers and len(index) == 2 and index.names == ["u0", "u1"]
    ((mixture, lengths, sources),) = arrays(whole_batches(index, 2, 1))
    assert sources.shape == (2, speakers, 800) and lengths.tolist() == [500, 400]
    np.testing.assert_array_equal(sources[1, :, :400], corpus[1][1:])


@pytest.mark.parametrize(
    "values, message",
    [
        (dict(batch_size=0), "the batch size 0"),
        (dict(segment=0), "--segment 0"),
        (dict(segment=-2), "--segment -2"),
        (dict(segment=float("nan")), "--segment nan"),
        (dict(segment=1e-5), "--segment 1e-05"),
        (dict(seed=-1), "the seed -1"),
        (dict(num_workers=0), "the number of workers 0"),
    ],
)
def test_values_that_make_no_sense(tmp_path, values, message):
    make_corpus(tmp_path)
    with pytest.raises(UserError, match=message):
        small_batches(load_index(tmp_path, RATE), **values)


def test_cv_maxlen_that_leaves_nothing(tmp_path):
    make_corpus(tmp_path)
    with pytest.raises(UserError, match=r"--cv_maxlen 0.01: all 5 mixtures"):
        whole_batches(load_index(tmp_path, RATE), 1, 1, cv_maxlen=0.01)
    with pytest.raises(UserError, match="the batch size 0"):
        whole_batches(load_index(tmp_path, RATE), 0, 1)
