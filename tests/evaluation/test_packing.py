"""evaluation/packing.py: what goes where, and that in a row with others a mixture gives what it gives alone."""

from types import SimpleNamespace

import mindspore as ms
import numpy as np
import pytest

from common.errors import UserError
from evaluation.packing import pack, packed_batches
from model import ConvTasNet
from network.options import NetworkOptions

RATE = 8000


class NoiseIndex:
    """Mixtures of noise of these lengths, two sources each."""

    def __init__(self, lengths):
        self.lengths, self.sources, self.sample_rate = np.array(lengths), 2, RATE

    def __len__(self):
        return len(self.lengths)

    def read(self, number, start, length):
        audio = np.random.default_rng(number).standard_normal((3, self.lengths[number])).astype(np.float32)
        return audio[:, start : start + length]


@pytest.mark.parametrize("samples", [1000, 4000])
def test_rows_hold_every_mixture_once_with_gaps_between(samples):
    lengths = np.random.default_rng(0).integers(1, 1500, 100).tolist()
    rows, fitted = pack(lengths, samples, hop=8, gap=101)
    assert sorted(number for row in rows for number, _ in row) == list(range(100))
    assert fitted % 8 == 0 and max(samples, 1496) <= fitted <= 1.5 * max(samples, 1496) + 8  # the longest has 1495
    for row in rows:
        end = -101
        for number, start in row:
            assert start % 8 == 0
            assert start >= end + 101
            end = start + lengths[number]
        assert end <= fitted
    if samples == 4000:
        assert sum(lengths) / (len(rows) * fitted) > 0.8


def test_row_is_as_long_as_fills_it_best():
    rows, samples = pack([400] * 100, 1600, hop=8, gap=40)
    assert (len(rows), samples) == (20, 2200)  # five take 2160; rows of 1600 would hold three and waste a quarter


def test_row_is_no_longer_than_all_mixtures_need():
    rows, samples = pack([30, 50], 128000, hop=10, gap=20)
    assert (rows, samples) == ([[(1, 0), (0, 70)]], 120)


def test_batches_have_one_shape_and_the_audio_in_its_places():
    index = NoiseIndex([80001, 80002, 3003, 80004, 80005, 80006])
    batches = packed_batches(index, 2, SimpleNamespace(hop=10, gap=1300), num_workers=2)
    assert len(batches) == 2
    found = []
    for mixture, lengths, starts, sources in ([tensor.asnumpy() for tensor in batch] for batch in batches):
        assert mixture.shape == (2, 176000) and sources.shape == (2, 2, 176000) and lengths.shape == (2, 3)
        for m, u in np.argwhere(lengths > 0):
            number = batches.order[len(found)]
            expected = index.read(number, 0, lengths[m, u])
            stretch = slice(starts[m, u], starts[m, u] + lengths[m, u])
            np.testing.assert_array_equal(mixture[m, stretch], expected[0])
            np.testing.assert_array_equal(sources[m, :, stretch], expected[1:])
            found.append(number)
            mixture[m, stretch] = 0
        assert not mixture.any()
    assert sorted(found) == list(range(6))


def test_batch_size_of_nothing():
    with pytest.raises(UserError, match="the batch size 0"):
        packed_batches(NoiseIndex([100]), 0, SimpleNamespace(hop=10, gap=20), 1)


CASES = [
    ("gLN", 0, "tail", 0),
    ("gLN", 0, "both", 5),
    ("cLN", 1, "none", 0),
    ("cgLN", 0, "tail", 0),
    ("cgLN", 1, "both", 0),
    ("BN", 0, "none", 5),
]


@pytest.mark.parametrize(("norm", "causal", "padding", "skip"), CASES)
def test_packed_equals_alone(restore_mode, norm, causal, padding, skip):
    options = NetworkOptions(
        N=12, L=8, B=6, H=10, X=3, R=2, Sc=skip, bias=1, norm_type=norm, causal=causal, padding=padding
    )
    net, random = ConvTasNet(options, RATE).set_train(False), np.random.default_rng(1)
    for name, parameter in net.parameters_and_names():
        if "norm" in name:  # gains and biases, and BN's averages, that cannot be ignored
            parameter.set_data(ms.Tensor(random.uniform(0.5, 1.5, parameter.shape).astype(np.float32)))
    index = NoiseIndex([301, 203, 97, 250])
    ((mixture, lengths, starts, _),) = packed_batches(index, 1, options, 1)
    assert lengths.shape == (1, 4)
    packed = net(mixture, lengths, starts).asnumpy()[0]  # [C, T]
    rest = np.ones(packed.shape[1], bool)
    ms.set_context(mode=ms.PYNATIVE_MODE)  # in which no length is compiled
    places = zip([0, 3, 1, 2], lengths.asnumpy()[0], starts.asnumpy()[0], strict=True)  # longest first
    for number, length, start in places:
        alone = net(ms.Tensor(index.read(number, 0, length)[:1])).asnumpy()[0]
        np.testing.assert_allclose(packed[:, start : start + length], alone, rtol=0, atol=1e-5 * np.abs(alone).max())
        rest[start : start + length] = False
    assert not packed[:, rest].any()
