"""recordings/voices.py: speakers keep their places where the overlaps of pieces do not tell who is who.

The voices are noise of different bands, which a network separates that gives them in another order from call to call.
"""

import os
import signal
import subprocess
import sys
from itertools import pairwise
from types import SimpleNamespace

import mindspore as ms
import numpy as np
import pytest
from conftest import PATIENCE_SECONDS, ROOT, heed_signals
from small_recordings import tones, write

from common.estimates import best_permutation
from model import ConvTasNet
from network.checkpoint import write_checkpoint
from network.in_numpy import load_in_numpy
from network.options import NetworkOptions
from recordings.pieces import at_level, estimate, piece_length, piece_starts
from recordings.voices import agreement, chained_orders, describe, speaker_orders
from separate import separate

RATE = 8000
EDGES = {2: [0, 1000, 4001], 3: [0, 600, 1500, 4001]}  # Hz, of the voices
OVERLAP = 4 * RATE  # at least; here, no pieces share more than SHARED
SHARED = 5 * RATE


class BandsNet:
    """Separates spectra into two or three bands, their order turned by some more places from call to call.

    In the overlap that a piece begins with it goes wrong: it is silent there, or turned by one place more.
    """

    sample_rate = RATE

    def __init__(self, C, wrong):
        self.options, self.wrong, self.calls = SimpleNamespace(C=C, hop=10), wrong, 0

    def __call__(self, mixture, lengths):
        spectrum = np.fft.rfft(mixture.asnumpy()[0])
        at = np.searchsorted(EDGES[self.options.C][1:-1], np.fft.rfftfreq(mixture.shape[1], 1 / RATE), side="right")
        bands = [np.fft.irfft(spectrum * (at == band), n=mixture.shape[1]) for band in range(self.options.C)]
        estimates = np.roll(bands, self.calls * (self.calls + 1) // 2, axis=0)
        if self.wrong == "silent":
            estimates[:, :SHARED] = 0
        elif self.wrong == "turned" and self.calls % 2:
            estimates[:, :SHARED] = np.roll(estimates[:, :SHARED], 1, axis=0)
        self.calls += 1
        return ms.Tensor(estimates[np.newaxis].astype(np.float32))


def talk(C, seconds, random):
    """Voices [C, T] that speak for 0.5 to 2 s and are silent for as long, each with a band of its own."""
    spectra = np.fft.rfft(random.normal(size=(C, seconds * RATE)), axis=1)
    frequencies = np.fft.rfftfreq(seconds * RATE, 1 / RATE)
    for spectrum, low, high in zip(spectra, EDGES[C], EDGES[C][1:], strict=False):
        spectrum[(frequencies < low + 100) | (frequencies >= high - 100)] = 0
    voices = np.fft.irfft(spectra, axis=1)
    for voice in voices:
        voice /= 10 * voice.std()
        ends = np.cumsum(random.uniform(0.5, 2, 2 * seconds) * RATE).astype(int)
        for start, stop in zip(ends[::2], ends[1::2], strict=True):
            voice[start:stop] = 0
    return voices.astype(np.float32)


@pytest.mark.parametrize("C", [2, 3])
@pytest.mark.parametrize("wrong", ["never", "silent", "turned"])
def test_speakers_keep_their_places_to_the_end(C, wrong):
    sources = talk(C, 150, np.random.default_rng(C))
    estimates = separate(BandsNet(C, wrong), sources.sum(0), RATE)
    piece = piece_length(sources.shape[1], RATE)
    starts = piece_starts(sources.shape[1], piece, OVERLAP, 10)
    assert len(starts) > 10 and min(np.diff(starts)) > piece - SHARED
    order = best_permutation(np.abs(sources @ estimates.T))
    for start in starts:
        inside = slice(start + SHARED + RATE // 10, start + piece - SHARED - RATE // 10)
        error = estimates[order][:, inside] - sources[:, inside]
        assert np.sum(error**2) < 0.01 * np.sum(sources[:, inside] ** 2), f"the piece that begins with {start}"


def test_where_the_overlaps_are_right_the_chain_is():
    """Bit for bit, and beginning with the first piece's order."""
    random = np.random.default_rng(0)
    sources = talk(3, 100, random)
    cut = [sources[:, start : start + 16 * RATE] for start in range(0, 80 * RATE, 12 * RATE)]
    pieces = [signals[random.permutation(3)] for signals in cut]
    agreements = [agreement(before[:, -OVERLAP:], after[:, :OVERLAP]) for before, after in pairwise(pieces)]
    orders = speaker_orders([describe(signals, RATE) for signals in pieces], agreements)
    np.testing.assert_array_equal(orders, chained_orders(3, agreements))
    np.testing.assert_array_equal(orders[0], [0, 1, 2])
    voices = [signals[order] for signals, order in zip(pieces, orders, strict=True)]
    for before, after in pairwise(voices):
        np.testing.assert_array_equal(before[:, -OVERLAP:], after[:, :OVERLAP])


@pytest.mark.parametrize("order", [[0], [1, 2, 0], [3, 5, 0, 2, 1, 4]])
def test_an_overlap_tells_the_order(order):
    """A cyclic one, which its inverse is not, and one of more speakers than all of whose orders are gone through."""
    signals = np.random.default_rng(0).normal(size=(len(order), 1000))
    values = agreement(signals, signals[order])
    assert values[order, np.arange(len(order))].sum() == pytest.approx(1)
    (_, found) = speaker_orders([describe(signals, RATE)] * 2, [values])
    np.testing.assert_array_equal(np.array(order)[found], np.arange(len(order)))


def test_a_description_is_of_the_voice_and_not_of_its_level():
    voices = talk(2, 16, np.random.default_rng(0))
    descriptions, certain = describe(voices, RATE)
    quieter, _ = describe(voices / 100, RATE)
    np.testing.assert_allclose(quieter, descriptions, atol=0.01)
    assert (certain > 0.7).all()
    assert np.abs(np.diff(descriptions, axis=0)).mean() > 5  # dB


@pytest.mark.parametrize("signals", [np.zeros((2, 9000)), np.ones((2, 30)), np.zeros((2, 0)), np.eye(2, 9000)])
@pytest.mark.parametrize("rate", [1000, 8000, 48000])
def test_nobody_is_no_voice(signals, rate):
    descriptions, certain = describe(signals.astype(np.float32), rate)
    assert np.isfinite(descriptions).all()
    assert (certain == 0).all()


@pytest.fixture(scope="module")
def checkpoint(device, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.ckpt"
    write_checkpoint(str(path), ConvTasNet(NetworkOptions(N=16, L=8, B=8, H=8, X=1, R=1), RATE))
    return str(path)


def test_one_piece_is_what_the_network_gives(checkpoint):
    net, mixture = load_in_numpy(checkpoint), tones(15 * RATE, RATE).sum(0)
    mixture -= mixture.mean(dtype=np.float64)
    np.testing.assert_array_equal(separate(net, mixture, RATE), at_level(estimate(net, mixture, 0), mixture))


def test_what_waits_to_be_ordered_does_not_stay_when_the_process_is_ended(tmp_path, checkpoint):
    recording = write(tmp_path / "long.wav", tones(40 * RATE, RATE).sum(0))
    job = tmp_path / "job.py"
    job.write_text(
        "import sys, time\n"
        "from common.signals import end_at_signals\n"
        "end_at_signals()\n"
        "import recordings.pieces, separate\n"
        "from common.errors import run\n"
        "def wait(*_):\n"
        "    print('ready', file=sys.stderr, flush=True)\n"
        "    time.sleep(600)\n"
        "recordings.pieces.join_pieces = wait\n"
        "run(separate.main)\n"
    )
    out = tmp_path / "out"
    command = [sys.executable, job, "--model_path", checkpoint, "--device_target", "CPU", recording, "--out_dir", out]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, preexec_fn=heed_signals)
    assert process.stderr.readline() == "ready\n"
    assert [path.stat().st_size > 1e6 for path in out.rglob("pieces")] == [True]
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=PATIENCE_SECONDS)[1].endswith("ended by a signal (SIGTERM)\n")
    assert process.returncode == 143
    assert list(out.iterdir()) == []
