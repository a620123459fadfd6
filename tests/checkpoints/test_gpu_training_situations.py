"""Mixtures drawn are as the options say."""

import numpy as np
import pytest
from small_gpu_training import options

torch = pytest.importorskip("torch", reason="requirements/extras.txt is not installed")

from checkpoints.gpu_training import noises
from checkpoints.gpu_training.options import parse
from checkpoints.gpu_training.situations import LARGEST_PEAK, Mixtures
from checkpoints.gpu_training.speech import Speech, at_speed
from common.errors import UserError

RATE, M, T = 8000, 400, 4000
NONE = {name: 0.0 for name in ("pause", "turn", "alone", "uneven", "equalised", "telephone", "reverb", "noise")}


def made_up():
    """Steady noises of -30 LUFS, nearly, as speech of 6 speakers, one of them a group of unknown ones; two noises."""
    random = np.random.default_rng(0)
    lengths = np.full(12, 2 * T)
    return {
        "speech": np.rint(1000 * random.standard_normal(lengths.sum())).astype(np.int16),
        "speech_lengths": lengths,
        "speech_loudness": np.full(12, 20 * np.log10(1000 / 32768), np.float32),
        "speech_peak": np.full(12, 0.15, np.float32),
        "speech_speaker": np.repeat(np.arange(6), 2),
        "unknown": np.arange(6) == 5,
        "noise": np.rint(300 * random.standard_normal(9000)).astype(np.int16),
        "noise_lengths": np.array([3000, 6000]),
    }


def mixtures(**shares):
    torch.manual_seed(1)
    more = [word for name, value in (NONE | shares).items() for word in (f"--{name}_share", str(value))]
    situations = options("Situations", "-", "--speed_change", "0", *more)
    return Mixtures(Speech(made_up(), situations, torch.device("cpu")), situations)


def decibels(signals):
    return 10 * torch.log10(signals.square().mean(-1) + 1e-12)


def test_a_mixture_is_its_sources_and_its_noise():
    drawn = mixtures(pause=0.3, turn=0.15, alone=0.05, uneven=0.3, equalised=0.5, telephone=0.06, reverb=0.2, noise=0.5)
    mixture, sources, noise = drawn.draw(M, T)
    assert mixture.shape == (M, T) and sources.shape == (M, 2, T)
    torch.testing.assert_close(mixture, sources.sum(1) + noise, rtol=0, atol=1e-6)
    assert mixture.abs().max() <= LARGEST_PEAK + 1e-6 and torch.isfinite(mixture).all()
    sounding = (sources.square().mean(2) > 1e-9).any(1)
    noisy = (noise.square().mean(1) > 0)[sounding]
    assert noisy.float().mean() == pytest.approx(0.5, abs=0.1)  # four standard deviations
    ratio = (decibels(sources.sum(1)) - decibels(noise))[sounding][noisy]
    assert ratio.min() > -8 and ratio.max() < 30  # a telephone takes more of one than of the other
    assert ratio.mean() == pytest.approx(7, abs=2)


def test_noise_is_as_loud_as_the_options_say():
    _, sources, noise = mixtures(noise=1.0).draw(M, T)
    ratio = decibels(sources.sum(1)) - decibels(noise)
    assert -2.01 < ratio.min() < -1.5 and 15.5 < ratio.max() < 16.01


@pytest.mark.parametrize("share", [0.0, 0.05, 1.0])
def test_one_speaks_alone_in_a_share_of_mixtures(share):
    _, sources, _ = mixtures(alone=share).draw(M, T)
    silent = sources.abs().amax(2) == 0  # [M, C]
    assert not silent.all(1).any()
    assert silent.any(1).float().mean() == pytest.approx(share, abs=0.05)
    if share == 1:
        assert silent[:, 0].float().mean() == pytest.approx(0.5, abs=0.1)


def test_levels_are_within_bounds():
    levels = decibels(mixtures().draw(M, T)[1])
    assert -33.3 < levels.min() < -32.5 and -25.5 < levels.max() < -24.7
    apart = levels.diff(dim=1).abs()
    assert apart.max() < 8.5
    levels = decibels(mixtures(uneven=1.0).draw(M, T)[1])
    apart = levels.diff(dim=1).abs()
    assert 3.7 < apart.min() < 4.5 and 9.5 < apart.max() < 10.3
    assert levels.amax(1).min() > -29.3 and levels.max() < -24.7


@pytest.mark.parametrize("kind", ["equalised", "telephone", "reverb"])
def test_what_changes_a_voice_leaves_its_level(kind):
    plain, changed = (mixtures(**{kind: share}).draw(M, T)[1] for share in (0.0, 1.0))
    torch.testing.assert_close(decibels(plain), decibels(changed), rtol=0, atol=0.6)
    assert (plain - changed).square().mean() > 0.01 * plain.square().mean()
    if kind == "telephone":
        spectrum = torch.fft.rfft(changed).abs().square().mean((0, 1))
        outside = torch.fft.rfftfreq(T, 1 / RATE)
        assert (
            spectrum[(outside < 100) | (outside > 3700)].mean()
            < 0.01 * spectrum[(outside > 400) & (outside < 3000)].mean()
        )


def test_voices_pause_and_take_turns():
    plan = mixtures(pause=1.0).plan(M, T)
    assert (plan.resume - plan.pause < 0.6 * T + 0.01).all() and (plan.pause < T).all() and (plan.resume > -0.01).all()
    plan = mixtures(turn=1.0).plan(M, T)
    overlap = plan.end[:, 0] - plan.begin[:, 1]
    assert -0.0501 * T < overlap.min() < 0 and 0.4 * T < overlap.max() < 0.501 * T
    assert (plan.pause > T).all()  # no pauses in turns


def test_speakers_differ_and_unknown_ones_come_less_often():
    drawn = mixtures(pause=1.0)
    utterances = drawn.plan(4000, T).utterances  # [M, C, 2]
    speakers = utterances // 2
    assert (speakers[..., 0] == speakers[..., 1]).all() and (speakers[:, 0] != speakers[:, 1]).all()
    unknown = speakers[..., 0] == 5
    assert (utterances[..., 0] == utterances[..., 1])[unknown].all()
    assert (utterances[..., 0] == utterances[..., 1])[~unknown].float().mean() == pytest.approx(0.5, abs=0.05)
    assert unknown.float().mean() == pytest.approx(1 / 6 * 0.75, abs=0.02)  # 0.7 to 1, two drawn of six


def test_faster_speech_is_shorter_and_higher():
    times = np.arange(RATE) / RATE
    samples = torch.from_numpy(np.rint(8000 * np.sin(2 * np.pi * 500 * times)).astype(np.int16))
    faster, lengths = at_speed(samples, torch.tensor([RATE]), 1.05)
    assert lengths.tolist() == [len(faster)] == [7620]  # 8000 / 1.05, rounded up
    peak = torch.fft.rfft(faster[:4000].float()).abs().argmax() * RATE / 4000
    assert peak == pytest.approx(525, abs=2)
    assert faster.float().std() == pytest.approx(8000 / 2**0.5, rel=0.01)


def test_noises_are_of_one_level_and_come_again():
    random = np.random.default_rng(2)
    utterances, kitchen = [random.integers(-3000, 3000, 9000).astype(np.int16)], random.standard_normal(30 * RATE)
    made, again = (list(noises.make_noises(utterances, kitchen, 0.001)) for _ in range(2))
    assert len(made) == len(noises.COUNTS) == 1 + len(list(noises.make_noises(utterances, None, 0.001)))
    for first, second in zip(made, again, strict=True):
        np.testing.assert_array_equal(first, second)
        assert first.dtype == np.int16
        assert first.std() == pytest.approx(noises.LEVEL * 32768, rel=0.1)  # clatter has peaks that are cut


@pytest.mark.parametrize(
    "change",
    [["--L", "15"], ["--causal", "2"], ["--speed_copies", "4"], ["--noise_share", "1.5"], ["--minutes", "0"]],
)
def test_options_that_make_no_sense(change):
    with pytest.raises(UserError, match=f"{change[0]} {change[1]}"):
        parse("", ["--data", "-", "--out", "-", *change])
