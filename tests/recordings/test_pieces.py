"""recordings/pieces.py: pieces that cover a recording, their speakers in one order, and joins that nobody hears."""

import os
from itertools import pairwise

import mindspore as ms
import numpy as np
import pytest
from small_recordings import BandNet, tones

from recordings.pieces import PieceFile, fade_from, padded_length, piece_length, piece_starts, separate_in_pieces
from separate import separate

RATE = 8000
PIECE = 16 * RATE


@pytest.mark.parametrize("samples", [1, 4000, PIECE, PIECE + 1, 2 * PIECE - 1, 600 * RATE + 7])
def test_pieces_cover_the_recording_and_overlap(samples):
    overlap, hop = 4 * RATE, 10
    starts = piece_starts(samples, PIECE, overlap, hop)
    assert starts[0] == 0
    assert starts[-1] + PIECE >= samples
    assert all(start % hop == 0 for start in starts)
    shared = [first + PIECE - second for first, second in pairwise(starts)]
    assert all(overlap - hop <= length <= PIECE for length in shared)
    most = -(-max(samples - overlap, 1) // (PIECE - overlap))
    assert len(starts) <= most


def test_one_length_serves_long_recordings():
    assert {piece_length(samples, RATE) for samples in (20 * RATE, 600 * RATE, 10**8)} == {piece_length(PIECE, RATE)}
    assert piece_length(3 * RATE, RATE) < piece_length(PIECE, RATE)


def test_padded_lengths_are_few():
    for rate in (8000, 11025, 16000, 44100):
        fixed = sorted({padded_length(samples, rate) for samples in range(1, 30 * rate, 37)})
        assert len(fixed) < 45
        assert all(padded_length(samples, rate) == samples for samples in fixed)
        assert all(abs(samples * 10 / rate - round(samples * 10 / rate)) < 10 / rate for samples in fixed)  # tenths
        long = [samples for samples in fixed if samples > rate]
        assert all(b / a < 1.2 for a, b in pairwise(long))
        assert all(
            0 <= padded_length(samples, rate) - samples < 0.17 * samples + rate / 5 for samples in range(1, 99999, 501)
        )


def test_a_join_fades_from_one_piece_to_the_other():
    tail, estimates = np.ones((2, 100), np.float32), np.full((2, 300), 2, np.float32)
    fade_from(tail, estimates)
    for found in estimates:
        assert found[0] == pytest.approx(1, abs=1e-3)
        assert found[99] == pytest.approx(2, abs=1e-3)
        assert (np.diff(found[:100]) > 0).all()
        assert (found[100:] == 2).all()


class TurningNet(BandNet):
    """BandNet whose speakers change places from call to call; it notes the shapes that it is called with."""

    def __init__(self):
        self.shapes = []

    def __call__(self, mixture, lengths):
        self.shapes.append(mixture.shape)
        estimates = super().__call__(mixture, lengths).asnumpy()
        return ms.Tensor(np.roll(estimates, len(self.shapes), axis=1))


@pytest.mark.parametrize("seconds", [17.3, 61.0])
def test_a_long_recording_keeps_its_speakers_and_levels(seconds):
    sources = tones(int(seconds * RATE), RATE) * [[1], [0.25]]
    net = TurningNet()
    estimates = separate(net, sources.sum(0), RATE)
    assert len(net.shapes) > 1
    assert len(set(net.shapes)) == 1
    if np.abs(estimates[0]).max() < np.abs(estimates[1]).max():
        estimates = estimates[::-1]
    inside = slice(RATE, -RATE)
    np.testing.assert_allclose(estimates[:, inside], sources[:, inside], atol=0.01)


class SpoiltNet(BandNet):
    """BandNet that separates at the level of its training alone, and without an offset, as a trained network does."""

    def __call__(self, mixture, lengths):
        heard = mixture.asnumpy()[0, : int(lengths.asnumpy()[0])]
        if abs(heard.mean()) > 1e-3 or not 0.02 < heard.std() < 0.2:
            return ms.Tensor(np.stack([mixture.asnumpy()] * 2, axis=1))
        return super().__call__(mixture, lengths)


@pytest.mark.parametrize("gain", [1e-20, 1e-4, 1, 1e2, 1e25])
@pytest.mark.parametrize("offset", [0, 0.05, -0.2, 20])
def test_neither_level_nor_offset_undo_the_separation(gain, offset):
    """In two pieces, of which the second is silent but for its first quarter, where it overlaps."""
    sources = tones(28 * RATE, RATE) * [[1], [0.25]]
    sources[:, PIECE:] = 0
    estimates = separate(SpoiltNet(), gain * (sources.sum(0) + np.float32(offset)), RATE)
    for inside in slice(RATE, PIECE - RATE), slice(PIECE + RATE, -RATE):  # the filter rings where the tones end
        np.testing.assert_allclose(estimates[:, inside] / gain, sources[:, inside], atol=0.01)


@pytest.mark.parametrize("constant", [0, 0.1, -0.7])
def test_a_constant_recording_is_nobody(constant):
    estimates = separate(BandNet(), np.full(20 * RATE, constant, np.float32), RATE)
    assert np.abs(estimates).max() < 1e-6


def test_what_is_read_and_kept_does_not_grow_with_the_recording(tmp_path):
    """Ten minutes are asked for in pieces, once and a half as much at most, and given in stretches of a piece."""
    asked, separated = [], []

    def read(start, length):
        asked.append(length)
        return tones(length, RATE).sum(0)

    samples = 600 * RATE
    with PieceFile(tmp_path) as kept:
        piece = piece_length(samples, RATE)
        stretches = separate_in_pieces(BandNet(), read, samples, piece, kept, separated.append)
        lengths = [stretch.shape[1] for stretch in stretches]
        assert os.listdir(tmp_path) == ["pieces"]
    assert os.listdir(tmp_path) == []
    assert sum(lengths) == sum(separated) == samples
    assert max(lengths) <= piece
    assert sum(asked) < 1.5 * samples
