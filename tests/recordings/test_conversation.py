"""A ten-minute conversation of real speech through separate.py, and its minutes beside separating them whole.

The speech is of ../shared, the network the one of checkpoints/.
"""

import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from conftest import ROOT
from scipy.signal import resample_poly

from common.estimates import best_permutation
from evaluation.metrics import si_snr
from network.in_numpy import load_in_numpy
from recordings.pieces import estimate
from separate import separate

RATE = 8000
SPEAKERS = ("19", "27")  # a woman and a man
MINUTES = (1, 4, 10)
SEPARATED = 3  # dB; if the speakers changed places on the way, there would be none
# Separates a recording, and prints the seconds and the peak memory, in bytes. A small process starts it: the system
# would count the memory of a larger one as its own.
CHILD = """
import json, resource, sys, time
import separate
scale = 1 if sys.platform == "darwin" else 1024
model, out_dir, file = sys.argv[1:]
began = time.perf_counter()
separate.main(["--model_path", model, "--device_target", "CPU", file, "--out_dir", out_dir, "--overwrite"])
peak = scale * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([time.perf_counter() - began, peak]), file=sys.stderr)
"""
STARTER = "import subprocess, sys; sys.exit(subprocess.run([sys.executable, '-c', *sys.argv[1:]]).returncode)"


def talk(shared, speaker, samples, random):
    """A speaker's utterances, one after the other, with pauses of 0.3 to 4 s: [samples] at 8 kHz, of power 1."""
    paths = sorted((shared / "speech" / "LibriSpeech" / "train-clean-100" / speaker).glob("*/*.flac"))
    parts, length = [], 0
    while length < samples:
        for path in paths:
            speech = resample_poly(soundfile.read(path, dtype="float32")[0], 1, 2)
            parts += [np.zeros(int(random.uniform(0.3, 4) * RATE), np.float32), speech]
            length += len(parts[-2]) + len(speech)
    track = np.concatenate(parts)[:samples]
    return track / track.std()


@pytest.fixture(scope="module")
def sources(shared):
    """Two people who talk, overlap and pause for ten minutes: [2, T], of which the sum does not clip."""
    random = np.random.default_rng(0)
    tracks = np.stack([talk(shared, speaker, max(MINUTES) * 60 * RATE, random) for speaker in SPEAKERS])
    return 0.9 * tracks / np.abs(tracks.sum(0)).max()


@pytest.fixture(scope="module")
def model():
    path = ROOT / "checkpoints" / "libri2mix_8k.ckpt"
    if not path.is_file():
        pytest.skip("needs checkpoints/libri2mix_8k.ckpt, which is not here")
    return str(path)


def mean_si_snr(sources, estimates):
    """Of the estimates, in the order that fits best."""
    values = si_snr(sources, estimates)
    return values[np.arange(len(values)), best_permutation(values)].mean()


def separated(model, path, folder):
    """Separate a recording in a process of its own; its seconds and its peak memory in bytes."""
    command = [sys.executable, "-c", STARTER, CHILD, model, folder / "out", path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (told,) = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("[")]
    return told


@pytest.mark.slow
@pytest.mark.alone
def test_ten_minutes_in_flat_memory_and_linear_time(sources, model, tmp_path):
    files = [tmp_path / f"{minutes}.wav" for minutes in MINUTES]
    for minutes, path in zip(MINUTES, files, strict=True):
        soundfile.write(path, sources.sum(0)[: minutes * 60 * RATE], RATE, subtype="PCM_16")
    # A process for each: one that loads a network again grows by 16 MB whatever it separates.
    seconds, peaks = zip(*(separated(model, path, tmp_path) for path in files), strict=True)
    print(seconds, peaks)
    assert max(peaks) < 0.6e9
    assert peaks[-1] - peaks[0] < 0.02e9  # two estimates of nine minutes more are 35 MB as floats
    # Six minutes more beside three: 2 were time linear in the length, 5.6 were it quadratic.
    assert (seconds[2] - seconds[1]) / (seconds[1] - seconds[0]) < 3.5

    mixture, _ = soundfile.read(files[-1])
    names = [tmp_path / "out" / f"10_s{number}.wav" for number in (1, 2)]
    assert {soundfile.info(name).subtype for name in names} <= {"PCM_16", "FLOAT"}
    estimates = np.stack([soundfile.read(name)[0] for name in names])
    assert estimates.shape == (2, len(mixture))
    assert np.abs(estimates).max() < 1 or soundfile.info(names[0]).subtype == "FLOAT"
    residual = mixture - estimates.sum(0)
    assert 10 * np.log10(np.sum(residual**2) / np.sum(mixture**2)) < -15
    gained = mean_si_snr(sources, estimates)  # the mixture has 0 dB
    print(f"{gained:.2f} dB")
    assert gained > SEPARATED


@pytest.mark.slow
def test_joined_pieces_are_as_good_as_the_whole(sources, model):
    """Each of these minutes, separated alone: a piece that mixes the speakers up midway would lose more."""
    net = load_in_numpy(model)
    joined, whole = [], []
    for minute in np.split(sources, max(MINUTES), axis=1)[1::4]:  # [2, T of a minute]; the second loses most of the ten
        mixture = minute.sum(0)
        joined.append(mean_si_snr(minute, separate(net, mixture, RATE)))
        whole.append(mean_si_snr(minute, estimate(net, mixture, len(mixture))))
    print(f"joined {np.mean(joined):.2f} dB, whole {np.mean(whole):.2f} dB; joined loses", np.subtract(whole, joined))
    assert np.mean(whole) > SEPARATED
    assert min(np.subtract(joined, whole)) > -0.5


@pytest.mark.slow
def test_neither_offset_nor_level_undo_the_separation(sources, model):
    net = load_in_numpy(model)
    piece = sources[:, : 16 * RATE]
    mixture = piece.sum(0)
    changed = [mixture, mixture + 0.05, mixture - 0.2, 1e-4 * mixture, 1e-3 * (mixture + 0.2), 1e2 * mixture]
    gained = [mean_si_snr(piece, separate(net, each, RATE)) for each in changed]
    print(gained)
    assert gained[0] > SEPARATED
    assert min(gained) > gained[0] - 0.05
