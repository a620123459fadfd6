"""recordings/same_voice.py: one voice is told from two, and what is then written; with noise in bands for voices."""

import numpy as np
import pytest
import soundfile
from small_recordings import tones, write, written
from test_voices import RATE, talk

import separate as script
from common.errors import UserError
from network.checkpoint import path_or_shipped
from recordings.same_voice import STRETCH_SECONDS, Voices, same_voices


def decided(estimates, wanted=None, noise=0):
    """`same_voices` of estimates whose recording has some more noise."""
    random = np.random.default_rng(0)
    mixture = estimates.sum(axis=0) + noise * random.normal(size=estimates.shape[1])
    signals = np.vstack([mixture, estimates])
    return same_voices(
        lambda start, length: signals[:, start : start + length], signals.shape[1], RATE, len(estimates), wanted
    )


def voices_of(estimates, wanted=None):
    return decided(estimates, wanted).groups


@pytest.fixture(scope="module")
def voices():
    """Three voices that speak and pause for 40 s, now and then at once: [3, T]."""
    return talk(3, 40, np.random.default_rng(0))


def shared_out(voice):
    """A voice whose words are given now more to one estimate, now more to the other: [2, T]."""
    share = np.repeat(np.random.default_rng(1).uniform(0.2, 0.8, len(voice) // 2000), 2000).astype(np.float32)
    return np.stack([share, 1 - share]) * voice[: len(share)]


TWO, ONE = [[0], [1]], [[0, 1]]


@pytest.mark.parametrize("gain", [1, 0.3, 1e-3, 0])
def test_a_copy_is_no_voice(voices, gain):
    assert voices_of(np.stack([voices[0], gain * voices[0]])) == ONE
    assert voices_of(np.stack([-gain * voices[0], voices[0]])) == ONE


def test_a_voice_that_is_shared_out_is_one(voices):
    assert voices_of(shared_out(voices[0])) == ONE


@pytest.mark.parametrize("gain", [1, 0.2])
def test_two_voices_are_two(voices, gain):
    pair = voices[:2] * np.float32([[1], [gain]])
    assert voices_of(pair) == TWO
    assert voices_of(pair + 0.1 * pair[::-1]) == TWO  # what is left in of each other


def test_in_turns_they_are_two(voices):
    half = voices.shape[1] // 2
    pair = voices[:2].copy()
    pair[0, half:] = pair[1, :half] = 0
    assert voices_of(pair) == TWO


def test_a_voice_that_comes_late_is_not_silenced(voices):
    """Even where one stretch in many holds it, and where it says a word."""
    long = np.tile(voices[:2], 5)
    assert long.shape[1] > 10 * STRETCH_SECONDS * RATE
    long[1, : -3 * RATE] = 0
    assert voices_of(long) == TWO
    long[1, : -RATE // 2] = 0
    long[1, -RATE // 2 :] = 0.1 * np.random.default_rng(0).normal(size=RATE // 2)
    assert voices_of(long) == TWO


@pytest.mark.parametrize("samples", [1, 100, RATE - 1])
def test_of_short_ones_and_silence_nothing_is_known(voices, samples):
    assert voices_of(np.stack([voices[0, :samples]] * 2)) == TWO
    assert voices_of(np.zeros((2, samples + RATE), np.float32)) == TWO


def test_three_estimates(voices):
    assert voices_of(voices) == [[0], [1], [2]]
    of_two = np.stack([voices[0], voices[1], 0.2 * voices[0]])
    assert voices_of(of_two) == [[0, 2], [1]]
    assert voices_of(np.stack([voices[0], 0.5 * voices[0], 0 * voices[0]])) == [[0, 1, 2]]
    assert voices_of(of_two, 3) == [[0], [1], [2]]
    assert voices_of(of_two, 2) == [[0, 2], [1]]
    assert voices_of(of_two, 1) == [[0, 1, 2]]


@pytest.mark.parametrize("wanted", [1, 2])
def test_silence_and_short_ones_by_hand(wanted):
    assert len(voices_of(np.zeros((2, 100), np.float32), wanted)) == wanted


def test_what_is_written():
    estimates, mixture = np.arange(6, dtype=np.float32).reshape(3, 2), np.float32([7, 8])
    for groups, whole, expected in (
        ([[0, 2], [1]], False, [[4, 6], [2, 3], [0, 0]]),
        ([[0, 1, 2]], False, [[6, 9], [0, 0], [0, 0]]),
        ([[0, 1, 2]], True, [[7, 8], [0, 0], [0, 0]]),
        ([[0], [1], [2]], False, estimates),
    ):
        np.testing.assert_array_equal(Voices(groups, whole).written(estimates, mixture), expected)


def test_the_recording_itself_is_taken_unless_it_has_noise(voices):
    copies = np.stack([voices[0], 0.1 * voices[0]])
    assert decided(copies).whole and decided(copies, noise=0.005).whole
    assert decided(copies, noise=0.03) == Voices(TWO, whole=False)
    assert decided(copies, 1, noise=0.03) == Voices(ONE, whole=False)
    assert not decided(voices[:2]).whole
    assert not decided(voices[:1]).whole  # a network for one speaker takes noise off


def read(folder, *names):
    return np.stack([soundfile.read(folder / "out" / f"{name}.wav", dtype="float32")[0] for name in names])


@pytest.mark.parametrize("sample_rate, subtype", [(8000, "PCM_16"), (44100, "PCM_24"), (16000, "FLOAT")])
def test_one_voice_is_left_whole(tmp_path, band_main, capsys, sample_rate, subtype):
    """To the bit, with what is above the network's rate; the other file is silent."""
    voice = tones(20 * sample_rate, sample_rate)[0]
    voice[::7] += 0.01
    path = write(tmp_path / "x.wav", voice, sample_rate, subtype)
    band_main(path, "--speakers", "auto")
    first, second = read(tmp_path, "x_s1", "x_s2")
    np.testing.assert_array_equal(first, soundfile.read(path, dtype="float32")[0])
    assert len(second) == len(voice) and not second.any()
    assert "1 voice: the first is the recording itself" in capsys.readouterr().out


def test_one_of_two_channels_is_left_whole(tmp_path, band_main):
    both = np.stack([tones(2 * RATE, RATE)[0], np.zeros(2 * RATE)], axis=1)
    band_main(write(tmp_path / "x.wav", both), "--channel", "1", "--speakers", "auto")
    np.testing.assert_array_equal(read(tmp_path, "x_s1")[0], both[:, 0].astype(np.float32))
    band_main(write(tmp_path / "y.wav", both), "--speakers", "auto")
    np.testing.assert_array_equal(read(tmp_path, "y_s1")[0], (both.mean(axis=1)).astype(np.float32))


def test_speakers_are_said_by_hand(tmp_path, band_main, capsys):
    for name, voices in (("one", tones(2 * RATE, RATE)[0]), ("two", tones(2 * RATE, RATE).sum(axis=0))):
        path = write(tmp_path / f"{name}.wav", voices)
        found = {}
        for speakers in ("auto", "1", "2", "all"):
            band_main(path, "--speakers", speakers, "--overwrite", "--segments")
            found[speakers] = read(tmp_path, f"{name}_s1", f"{name}_s2")
            said = "and what is left is silent" in capsys.readouterr().out
            assert said == (not found[speakers][1].any())
            spoken = {row.split()[7] for row in (tmp_path / "out" / f"{name}.rttm").read_text().splitlines()}
            assert said == ("s2" not in spoken) or not spoken
        np.testing.assert_array_equal(found["1"][0], voices)
        assert not found["1"][1].any() and found["2"][1].any()
        np.testing.assert_array_equal(found["all"], found["2"])
        np.testing.assert_array_equal(found["auto"], found["1" if name == "one" else "2"])
    assert len(written(tmp_path)) == 8


@pytest.mark.parametrize(
    "options, message",
    [
        (["--speakers", "0"], r"--speakers 0: must be a number"),
        (["--speakers", "two"], r"--speakers two: must be a number"),
        (["--speakers", "3"], r"--speakers 3: the network is for 2"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, band_main, options, message):
    with pytest.raises(UserError, match=message):
        band_main(write(tmp_path / "x.wav", [0.1] * 50), *options)
    assert not written(tmp_path)


def test_a_stream_keeps_all():
    with pytest.raises(UserError, match=r"--speakers 1: a stream"):
        script.main(["-", "--streaming", "--speakers", "1"])


def test_real_voices(shared, tmp_path):
    """A voice alone and the same with another, from the command line, with the weights that come along."""
    rows = (shared / "speech" / "dev.csv").read_text(encoding="utf-8").split()[1:]
    paths = [shared / "speech" / "LibriSpeech" / row.split(",")[4] for row in rows[4:6]]
    first, second = (soundfile.read(path, dtype="float32")[0][: 6 * 16000] for path in paths)
    write(tmp_path / "alone.wav", first, 16000, "PCM_16")
    write(tmp_path / "both.wav", 0.5 * (first + second), 16000, "PCM_16")
    options = ["--model_path", path_or_shipped(None), "--device_target", "CPU", "--speakers", "auto"]
    options += ["--out_dir", str(tmp_path / "out")]
    script.main([str(tmp_path / "alone.wav"), str(tmp_path / "both.wav"), *options])
    whole, nothing = read(tmp_path, "alone_s1", "alone_s2")
    np.testing.assert_array_equal(whole, soundfile.read(tmp_path / "alone.wav", dtype="float32")[0])
    assert not nothing.any()
    assert read(tmp_path, "both_s1", "both_s2").any(axis=1).all()
