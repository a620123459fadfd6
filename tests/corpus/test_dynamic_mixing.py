"""corpus/dynamic_mixing.py: who is drawn how often, how loud, and that seed, epoch and number alone decide."""

from itertools import pairwise

import numpy as np
import pyloudnorm
import pytest
import soundfile
from small_corpus import RATE, arrays, assert_same, make_corpus, write_metadata

import preprocess
import train
from common.command_line import parse
from common.errors import UserError
from corpus import dynamic_mixing
from corpus.dynamic_mixing import DynamicMixtures, measure_loudness
from corpus.loading import load_index
from data import training_batches
from network.checkpoint import read_checkpoint
from training.schedule import check_dynamic_mixing

UTTERANCES = {"11": 6, "22": 1, "33": 1, "44": 2}  # of each speaker


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A LibriSpeech in which each speaker is noise in a band of their own, and metadata over it."""
    folder = tmp_path_factory.mktemp("voices")
    random = np.random.default_rng(0)
    paths = []
    (folder / "noises").mkdir()
    for place, (speaker, count) in enumerate(UTTERANCES.items()):
        (folder / "LibriSpeech" / "dev-clean" / speaker).mkdir(parents=True)
        for number in range(count):
            paths.append(f"dev-clean/{speaker}/{speaker}-1-{number:04d}.flac")
            soundfile.write(folder / "LibriSpeech" / paths[-1], band(random, place, 19201 + 1600 * number), 16000)
    for number, length in enumerate((20000, 60000)):
        soundfile.write(folder / "noises" / f"{number}.wav", band(random, 4, length), 16000)
    pairs = [*zip(paths[:6], 2 * paths[6:], strict=False), *pairwise(paths[6:9]), (paths[6], paths[9])]
    rows = [
        (f"m{number}", [(path, 0.5), (other, 0.7)], (f"{number % 2}.wav", 0.3))
        for number, (path, other) in enumerate(pairs)
    ]
    write_metadata(folder / "md" / "libri2mix_dev-clean.csv", rows)
    return folder


def band(random, place, length):
    """Noise between 500 * (place + 1) Hz and 400 above that, of a random level."""
    spectrum = np.fft.rfft(random.standard_normal(length))
    frequency = np.fft.rfftfreq(length, 1 / 16000)
    spectrum[(frequency < 500 * (place + 1)) | (frequency > 500 * (place + 1) + 400)] = 0
    samples = np.fft.irfft(spectrum, length)
    return random.uniform(0.02, 0.5) * samples / np.abs(samples).max()


def heard(samples, rate=RATE):
    """Which bands there is sound in, as places."""
    energy = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    frequency = np.fft.rfftfreq(len(samples), 1 / rate)
    shares = [energy[(frequency // 500 - 1) == place].sum() / energy.sum() for place in range(6)]
    return {place for place, share in enumerate(shares) if share > 0.001}


def mixtures(folder, tmp_path, *options, task="sep_clean", seed=0, speed_change=0, rate=RATE):
    noisy = [] if task == "sep_clean" else ["--noise-dir", folder / "noises"]
    given = ["--librispeech-dir", folder / "LibriSpeech", "--metadata-dir", folder / "md", "--task", task, *noisy]
    preprocess.main([*map(str, [*given, "--out-dir", tmp_path, "--sample-rate", rate, *options])])
    return DynamicMixtures(load_index(tmp_path / "cv", rate), seed, speed_change)


def read_epoch(index, epoch=0, samples=4000):
    return [index.read(*row) for row in index.examples(epoch, samples).tolist()]


def test_speakers_are_drawn_alike_and_never_twice(folder, tmp_path):
    index = mixtures(folder, tmp_path)
    counts, pairs = np.zeros(4), set()
    for epoch in range(10):
        for mixture, *sources in read_epoch(index, epoch):
            places = [heard(source) for source in sources]
            assert all(len(place) == 1 for place in places) and places[0] != places[1]
            assert heard(mixture) == places[0] | places[1]
            np.testing.assert_allclose(mixture, sources[0] + sources[1], atol=1e-6)
            counts[[place for (place,) in places]] += 1
            pairs.add(frozenset(places[0] | places[1]))
    assert counts.sum() == 10 * 2 * len(index.examples(0, 4000))
    assert np.abs(counts / counts.sum() - 0.25).max() < 0.06  # speaker 11 has six of ten utterances
    assert len(pairs) == 6


@pytest.mark.parametrize(
    ("task", "sources"), [("sep_noisy", [1, 1]), ("enh_single", [1]), ("enh_both", [2])]
)  # speakers in each source
def test_tasks(folder, tmp_path, task, sources):
    index = mixtures(folder, tmp_path, task=task)
    assert index.sources == len(sources)
    for mixture, *found in read_epoch(index):
        voices = [heard(source) for source in found]
        assert [len(places) for places in voices] == sources and 4 not in set().union(*voices)
        assert heard(mixture) == {4}.union(*voices)


@pytest.mark.parametrize("rate", [8000, 16000])
def test_loudness_is_drawn_as_librimix_draws_it(folder, tmp_path, rate):
    index = mixtures(folder, tmp_path, task="sep_noisy", rate=rate)
    meter = pyloudnorm.Meter(rate)
    speech, noise = [], []
    for epoch in range(4):
        for mixture, *sources in read_epoch(index, epoch, samples=rate):
            assert np.abs(mixture).max() <= 0.9 + 1e-6
            speech += [meter.integrated_loudness(source.astype(float)) for source in sources]
            noise.append(meter.integrated_loudness(mixture.astype(float) - sum(sources)))
    # The loudness of a second of noise is about that of the whole.
    assert -33.6 < min(speech) < -32 and -26 < max(speech) < -24.4 and abs(np.mean(speech) + 29) < 0.8
    assert -38.6 < min(noise) < -37 and -31 < max(noise) < -29.4 and abs(np.mean(noise) + 34) < 1


def test_what_would_clip_is_lowered(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(dynamic_mixing, "SPEECH_LUFS", (0.0, 1.0))
    for mixture, *sources in read_epoch(mixtures(folder, tmp_path, "--sample-rate", 16000, rate=16000)):
        assert np.abs(mixture).max() <= 0.9 + 1e-6
        assert all(0.1 < np.abs(source).max() <= 0.9 + 1e-6 for source in sources)
        np.testing.assert_allclose(mixture, sum(sources), atol=1e-6)


def test_seed_epoch_and_number_alone_decide(folder, tmp_path):
    index = mixtures(folder, tmp_path, speed_change=5, task="sep_noisy")
    first = arrays(training_batches(index, 3, 0.5, 1, 0, 2, num_workers=1))
    again = DynamicMixtures(index.index, 0, 5)
    assert_same(first, arrays(training_batches(again, 3, 0.5, 1, 0, 2, num_workers=2)))
    number, start, length = index.examples(2, 4000)[5].tolist()  # on its own, out of turn
    alone = DynamicMixtures(index.index, 0, 5).read(number, start, length)
    np.testing.assert_array_equal(alone[0], first[1][0][2])
    for seed, epoch in ((1, 2), (0, 3)):
        other = DynamicMixtures(index.index, seed, 5)
        assert np.abs(arrays(training_batches(other, 3, 0.5, 1, 0, epoch, 1))[0][0] - first[0][0]).max() > 0.001


def test_crops_lie_anywhere_in_the_utterances(folder, tmp_path):
    index = mixtures(folder, tmp_path, rate=16000)
    files = {path: soundfile.read(path, dtype="float32")[0] for path, _ in index.index.speech}
    starts = []
    for epoch in range(4):
        for audio in read_epoch(index, epoch, samples=8000):
            # The crop is the stretch of some file that it is a multiple of.
            spots = [_find(audio[1], samples) for samples in files.values()]
            starts += [spot for spot in spots if spot is not None]
    assert len(starts) == 4 * len(index.examples(0, 8000))
    assert min(starts) < 1500 and max(starts) > 10000 and len(set(starts)) > len(starts) / 2


def _find(crop, samples):
    """Where a scaled stretch of `samples` is the crop, or None."""
    length = 2**16
    product = np.fft.irfft(np.fft.rfft(samples, length) * np.conj(np.fft.rfft(crop, length)), length)
    start = int(np.argmax(product[: len(samples) - len(crop) + 1]))
    stretch = samples[start : start + len(crop)].astype(float)
    gain = np.dot(stretch, crop) / np.dot(stretch, stretch)
    return start if np.abs(gain * stretch - crop).max() < 1e-5 else None


def test_speed_changes_pitch_and_length(folder, tmp_path):
    index = mixtures(folder, tmp_path, speed_change=5)
    edges = []
    for epoch in range(6):
        for _, source, _ in read_epoch(index, epoch, samples=RATE):
            energy = np.abs(np.fft.rfft(source * np.hanning(len(source)))) ** 2
            frequency = np.fft.rfftfreq(len(source), 1 / RATE)
            middle = (energy * frequency).sum() / energy.sum()
            place = round((middle - 200) / 500) - 1
            edges.append(middle / (500 * (place + 1) + 200))
    assert 0.93 < min(edges) < 0.97 and 1.03 < max(edges) < 1.07 and abs(np.mean(edges) - 1) < 0.01


@pytest.mark.parametrize("mode", ["min", "max"])
def test_what_is_shorter_than_the_segment(folder, tmp_path, mode):
    index = mixtures(folder, tmp_path, "--mode", mode)
    lengths = [audio.shape[1] for audio in read_epoch(index, samples=12000)]
    # Utterances have 9601 to 13601 samples at 8 kHz.
    assert min(lengths) == 9601 and max(lengths) <= 12000
    assert (np.mean(lengths) > 10300) == (mode == "max")
    batch = arrays(training_batches(index, 50, 1.5, 1, 0, 0, 1))[0]
    assert batch[1].tolist() == lengths and batch[0].shape == (len(lengths), 12000)
    assert not any(row[length:].any() for row, length in zip(batch[0], lengths, strict=True))


def test_describes_an_epoch(folder, tmp_path):
    index = mixtures(folder, tmp_path, task="sep_noisy")
    count = len(index.examples(0, 4000))
    expected = f"{count} examples of 0.5 s an epoch, each drawn anew: 2 of 4 speakers with 10 utterances, and one of"
    assert index.describe(0.5) == f"{expected} 2 noises"
    assert count == np.ceil(index.index.lengths / 4000).sum()


def test_an_index_of_finished_mixtures_is_refused(tmp_path):
    make_corpus(tmp_path)
    with pytest.raises(UserError, match=r"--dynamic_mixing: .* holds finished mixtures; index LibriSpeech itself"):
        DynamicMixtures(load_index(tmp_path, RATE), 0)


def test_files_that_do_not_tell_the_speaker(corpus, tmp_path):
    preprocess.main(
        [f"--librispeech-dir={corpus / 'LibriSpeech'}", f"--metadata-dir={corpus / 'md'}", f"--out-dir={tmp_path}"]
    )
    with pytest.raises(UserError, match=r"c?a.flac: its name does not tell the speaker"):
        DynamicMixtures(load_index(tmp_path / "cv", RATE), 0)


def test_loudness_that_cannot_be_measured(tmp_path):
    for name, samples, message in (
        ("silent", np.zeros(16000), "is silent"),
        ("short", np.full(6000, 0.1), "6000 samples, too few"),
    ):
        soundfile.write(tmp_path / f"{name}.wav", samples, 16000)
        with pytest.raises(UserError, match=f"{name}.wav: {message}"):
            measure_loudness(tmp_path / f"{name}.wav")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--speed_change 5", "--speed_change 5: only --dynamic_mixing"),
        ("--dynamic_mixing --speed_change -1", "--speed_change -1: must be a percentage"),
        ("--dynamic_mixing 1 --segment -1", "--segment -1: --dynamic_mixing draws crops"),
        ("--dynamic_mixing --shuffle 0", "--shuffle 0: --dynamic_mixing draws at random"),
    ],
)
def test_options_that_do_not_go_together(options, message):
    args = parse("", "training_data", argv=["--train_dir", "a", "--valid_dir", "b", *options.split()])
    with pytest.raises(UserError, match=message):
        check_dynamic_mixing(args)


@pytest.mark.slow
def test_training(folder, tmp_path, capsys):
    mixtures(folder, tmp_path / "index")
    make_corpus(tmp_path / "valid", [4000, 4000])
    network = "--N 16 --L 8 --B 8 --H 12 --X 2 --R 1 --segment 0.5 --lr 1e-2 --epochs 2 --device_target CPU"
    given = ["--train_dir", tmp_path / "index/cv", "--valid_dir", tmp_path / "valid", "--save_folder", tmp_path]
    given += network.split(" ")
    train.main([*map(str, given), "--dynamic_mixing", "--speed_change", "5"])
    assert "training:   27 examples of 0.5 s an epoch, each drawn anew: 2 of 4 speakers" in capsys.readouterr().out
    history = read_checkpoint(tmp_path / "last.ckpt").progress["history"]
    assert [epoch["steps"] for epoch in history] == [14, 14]
    assert history[1]["train_loss"] < history[0]["train_loss"]
