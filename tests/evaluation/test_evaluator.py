"""evaluation/evaluator.py: the same scores in any batch and order, and the same signals again."""

import json

import numpy as np
import pytest
from known_networks import RATE, rotating_net, write_set

from corpus.loading import load_index
from evaluation.evaluator import evaluate, separate_mixtures
from model import ConvTasNet
from network.options import NetworkOptions


def test_mixtures_separated_again_are_those_that_were_measured(tmp_path):
    everything = write_set(tmp_path, speakers=3, lengths=[3001, 150000, 2003, 140000, 130000], silent=[(2, 1)])
    net = rotating_net(tmp_path, everything)
    index = load_index(str(tmp_path), RATE)
    shapes = []
    again = separate_mixtures(record_shapes(net, shapes), index, [3, 1, 2])
    assert len(shapes) == 2 and len(set(shapes)) == 1  # of three batches
    for number, (mixture, sources, estimates) in zip([3, 1, 2], again, strict=True):
        np.testing.assert_array_equal(mixture, index.read(number, 0, int(index.lengths[number]))[0])
        np.testing.assert_array_equal(sources, everything[number])
        known = everything[number] + 0.1 * np.roll(everything[number], 1, axis=0) + 0.01
        if number == 2:  # whose source is silent: as the network gives them
            known = np.roll(known, 1, axis=0)
        np.testing.assert_allclose(estimates, known, atol=1e-6)


def record_shapes(net, shapes):
    """The same network; the shapes of what it is given go into the list."""

    def separate(mixture, lengths, starts):
        shapes.append((mixture.shape, lengths.shape))
        return net(mixture, lengths, starts)

    separate.options = net.options
    return separate


def reversed_index(folder, new):
    new.mkdir()
    for file in folder.glob("*.json"):
        (new / file.name).write_text(json.dumps(json.loads(file.read_text())[::-1]))
    return new


@pytest.mark.slow
def test_real_network_scores_the_same_in_any_batch_and_order(tmp_path, device):
    net = ConvTasNet(NetworkOptions(N=16, L=8, B=8, H=8, X=2, R=1, C=2), RATE).set_train(False)
    write_set(tmp_path, speakers=2, lengths=[15010, 20030, 19990, 70011, 64000, 33333, 81234])
    folders = [tmp_path, reversed_index(tmp_path, tmp_path / "reversed")]
    runs = [
        {scores.name: scores for scores in evaluate(net, load_index(str(folder), RATE), batch_size)}
        for folder in folders
        for batch_size in (1, 3)
    ]
    for name, one in runs[0].items():
        for run in runs[1:]:
            assert one.permutation == run[name].permutation
            improvement = run[name].means["si_snr"].improvement
            assert one.means["si_snr"].improvement == pytest.approx(improvement, abs=1e-4)
