"""separate.py: rates, lengths and levels; with a network that is known to the sample, and with a real one."""

import io
import subprocess
import sys

import mindspore as ms
import numpy as np
import pytest
import soundfile
from conftest import ROOT
from small_recordings import BandNet, tones, write, written
from test_metrics import paper_si_snr

from common.errors import UserError
from model import ConvTasNet, load_model
from network.checkpoint import write_checkpoint
from network.options import NetworkOptions
from separate import separate


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.ckpt"
    write_checkpoint(str(path), ConvTasNet(NetworkOptions(N=16, L=8, B=8, H=8, X=1, R=1, C=3), 8000))
    return str(path)


@pytest.mark.parametrize("sample_rate", [8000, 11025, 16000, 44100, 48000])
@pytest.mark.parametrize("length", [1, 5, 4003, 20011])
def test_length_is_that_of_the_recording_at_any_rate(sample_rate, length):
    estimates = separate(BandNet(), tones(length, sample_rate).sum(0), sample_rate)
    assert estimates.shape == (2, length)
    assert estimates.dtype == np.float32
    assert np.isfinite(estimates).all()


@pytest.mark.parametrize("sample_rate", [8000, 44100])
def test_levels_and_signs_are_those_in_the_recording(sample_rate):
    sources = tones(2 * sample_rate + 1, sample_rate) * [[1], [0.25]]
    estimates = separate(BandNet(), sources.sum(0), sample_rate)
    middle = slice(sample_rate // 10, -sample_rate // 10)  # the network's own bands leak at the ends
    assert np.allclose(estimates[:, middle], sources[:, middle], atol=6e-3)
    assert min(map(paper_si_snr, sources, estimates)) > 20


def test_few_shapes_are_compiled():
    shapes = set()
    for length in range(7300, 7999, 100):
        net = BandNet()
        separate(net, tones(length, 8000).sum(0), 8000)
        shapes.add(net.shape)
    assert shapes == {(1, 8000)}


def test_real_network_separates_from_the_command_line(tmp_path, checkpoint):
    random = np.random.default_rng(0)
    noise = write(tmp_path / "noise.wav", 0.1 * random.normal(size=1503), 16000)
    silence = write(tmp_path / "silence.wav", np.zeros(795))
    command = [sys.executable, ROOT / "separate.py", "--model_path", checkpoint, noise, silence]
    done = subprocess.run([*command, "--out_dir", tmp_path / "o"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    estimates = np.stack([soundfile.read(tmp_path / "o" / f"noise_s{number}.wav")[0] for number in (1, 2, 3)])
    mixture, _ = soundfile.read(noise)
    assert estimates.shape == (3, 1503)
    assert np.sum((mixture - estimates.sum(0)) ** 2) < np.sum(mixture**2)
    for number in (1, 2, 3):
        samples, _ = soundfile.read(tmp_path / "o" / f"silence_s{number}.wav")
        assert len(samples) == 795 and not samples.any()


def test_a_network_that_gives_nan_is_an_error(tmp_path, band_main, monkeypatch):
    monkeypatch.setattr(BandNet, "__call__", lambda self, mixture, lengths: ms.Tensor(np.full((1, 2, 800), np.nan)))
    with pytest.raises(UserError, match="NaN"):
        band_main(write(tmp_path / "x.wav", [0.1] * 50))
    assert not written(tmp_path)


def test_resampling_is_printed_once(tmp_path, band_main, capsys):
    files = [write(tmp_path / f"{name}.wav", tones(4800, 48000).sum(0), 48000) for name in "abc"]
    band_main(*files)
    assert capsys.readouterr().out.count("resampled from 48000 Hz") == 1


def test_standard_input_to_standard_output(checkpoint):
    mixture = tones(1600, 16000).sum(0)
    given = io.BytesIO()
    soundfile.write(given, mixture, 16000, format="WAV", subtype="FLOAT")
    command = [sys.executable, ROOT / "separate.py", "--model_path", checkpoint, "-"]
    done = subprocess.run(command, input=given.getvalue(), capture_output=True)
    assert done.returncode == 0, done.stderr
    estimates, sample_rate = soundfile.read(io.BytesIO(done.stdout))
    assert estimates.shape == (1600, 3)
    assert sample_rate == 16000
    np.testing.assert_allclose(estimates.T, separate(load_model(checkpoint), mixture, 16000), atol=1e-5)
