"""checkpoints/: what its README says of each file, and that the scripts work with them out of the box."""

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
import soundfile
from formulas import paper_si_snr
from scipy.signal import resample_poly

import export
from corpus.loading import load_index
from evaluation.evaluator import evaluate
from model import load_model
from network.checkpoint import SHIPPED, path_or_shipped, read_checkpoint
from network.in_numpy import load_in_numpy
from preprocess import main as preprocess

ROOT = Path(__file__).resolve().parent.parent
CARDS = (Path(SHIPPED) / "README.md").read_text(encoding="utf-8")
FILES = sorted(Path(SHIPPED).glob("*.ckpt"))
# dB of the networks on every tenth dev mixture, where they had 9.61 and 6.84 when they were shipped
LEAST_IMPROVEMENT = {"libri2mix_8k": 9.1, "libri2mix_8k_causal": 6.3}


def test_cards_name_every_file_with_its_checksum():
    assert sum(file.stat().st_size for file in FILES) < 16e6
    named = dict(re.findall(r"^## (\S+\.ckpt)\n\nSHA-256 `([0-9a-f]{64})`", CARDS, re.MULTILINE))
    assert named == {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in FILES}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_files_hold_a_network_for_two_speakers_and_nobodys_folders(file):
    checkpoint = read_checkpoint(file)
    assert (checkpoint.options.C, checkpoint.sample_rate, checkpoint.progress) == (2, 8000, {})
    assert not [name for name in checkpoint.parameters if name.startswith(("optimizer", "ema"))]


def test_default_is_printed(capsys):
    path = path_or_shipped(None)
    assert Path(path) in FILES
    assert f"no --model_path: taking {path}" in capsys.readouterr().out
    assert path_or_shipped("other.ckpt") == path_or_shipped("other.ckpt", causal=True) == "other.ckpt"
    assert capsys.readouterr().out == ""


def test_default_for_streaming_is_causal():
    path = path_or_shipped(None, causal=True)
    assert Path(path) in FILES
    assert read_checkpoint(path).options.causal


def woman_and_man(dev_set):
    """Mixture and sources of the first mixture of a woman and a man, which are separated best: [1 + C, T] at 8 kHz."""
    return dev_set.read(3, 0, int(dev_set.lengths[3])).astype(np.float64)


def improvement(estimates, sources, mixture):
    """SI-SNR improvement in dB of two estimates, in the better order."""
    after = max(np.mean([paper_si_snr(*pair) for pair in zip(sources, order, strict=True)])
                for order in (estimates, estimates[::-1]))  # fmt: skip
    return after - np.mean([paper_si_snr(source, mixture) for source in sources])


@pytest.fixture(scope="module")
def dev_set(shared, tmp_path_factory):
    """Every tenth of the dev mixtures, whose speakers the networks never heard."""
    folder, speech = tmp_path_factory.mktemp("dev"), shared / "speech"
    table = speech / "metadata" / "Libri2Mix" / "libri2mix_dev-clean.csv"
    header, *rows = table.read_text().splitlines()
    (folder / table.name).write_text("\n".join([header, *rows[::10], ""]))
    preprocess([f"--librispeech-dir={speech / 'LibriSpeech'}", f"--metadata-dir={folder}", f"--out-dir={folder}"])
    return load_index(str(folder / "cv"), 8000)


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_they_separate_speakers_that_they_never_heard(file, dev_set, device):
    scores = evaluate(load_in_numpy(file), dev_set, batch_size=2)
    mean = np.mean([each.means["si_snr"].improvement for each in scores])
    print(f"{file.stem}: {mean:.2f} dB")
    assert len(scores) == 20
    assert mean > LEAST_IMPROVEMENT[file.stem]


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_plain_numpy_gives_what_the_graph_gives(file, dev_set, device):
    mixture = np.float32(woman_and_man(dev_set)[0][:16000])
    expected = load_model(file)(ms.Tensor(mixture[np.newaxis])).asnumpy()[0]
    found = load_in_numpy(file)(mixture)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.slow
def test_a_strangers_recording_is_separated_by_one_command(dev_set, tmp_path):
    """48 kHz, stereo, 16 bits; from another folder, without any option but where the result goes."""
    mixture, *sources = (resample_poly(signal, 6, 1) for signal in woman_and_man(dev_set))
    stereo = np.stack([mixture, 0.5 * mixture], axis=1)
    soundfile.write(tmp_path / "theirs.wav", stereo / np.abs(stereo).max(), 48000, subtype="PCM_16")
    command = [sys.executable, str(ROOT / "separate.py"), "theirs.wav", "--out_dir", "separated"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "no --model_path: taking" in result.stdout
    estimates = []
    for number in (1, 2):
        samples, rate = soundfile.read(tmp_path / "separated" / f"theirs_s{number}.wav")
        assert rate == 48000 and samples.shape == mixture.shape
        estimates.append(samples)
    assert improvement(estimates, sources, mixture) > 3


@pytest.mark.slow
def test_a_stream_is_separated_by_one_command(dev_set, tmp_path):
    mixture, *sources = woman_and_man(dev_set)
    soundfile.write(tmp_path / "theirs.wav", mixture, 8000, subtype="FLOAT")
    command = [sys.executable, str(ROOT / "separate.py"), "--streaming", "-"]
    with open(tmp_path / "theirs.wav", "rb") as stream:
        result = subprocess.run(command, cwd=tmp_path, stdin=stream, capture_output=True)
    assert result.returncode == 0, result.stderr
    assert b"_causal.ckpt" in result.stderr
    estimates = np.frombuffer(result.stdout[44:], np.float32).reshape(-1, 2).T.astype(np.float64)  # [2, T]
    assert improvement(estimates, sources, mixture) > 2


@pytest.mark.slow
def test_export_takes_it_too(tmp_path, capsys):
    export.main(["--file_name", str(tmp_path / "net"), "--length", "1", "--device_target", "CPU"])
    assert "no --model_path: taking" in capsys.readouterr().out
    assert (tmp_path / "net.mindir").exists()
