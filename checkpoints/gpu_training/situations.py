"""Mixtures drawn on the GPU: who speaks when, how loud, how fast, where and over which noise.

The mixture is the sum of its sources and a noise. What a room, a microphone or a telephone does to a voice is in its
source too, so that the estimates of a network add up to what it hears.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from checkpoints.gpu_training.options import RATE, C, Situations
from checkpoints.gpu_training.speech import Speech

# Two values of corpus.dynamic_mixing, which needs packages that a machine with a GPU may lack.
SPEECH_LUFS = (-33.0, -25.0)  # loudness of a voice, as LibriMix draws it
LOUDER_LUFS = (-29.0, -25.0)  # that of the louder where voices are uneven
APART = (4.0, 10.0)  # dB between those
LARGEST_PEAK = 0.9  # of a voice that would clip, and of a mixture
FADE = 0.01 * RATE  # samples, where a voice is cut off within a mixture
PAUSE = (0.3, 4.0)  # seconds
DIRECT = (0.0, 15.0)  # dB of the direct sound over the echo of a room
TELEPHONE = (280, 3350)  # Hz


@dataclass
class Plan:
    """Who speaks, what, how and when in M mixtures.

    A voice speaks from `begin` to `end` (samples of the mixture), but from `pause` to `resume` it is silent. Then it
    goes on with another of its speaker's utterances.
    """

    utterances: Tensor  # [M, C, 2], before and after the pause
    speeds: Tensor  # [M, C, 1]
    gains: Tensor  # [M, C, 2]
    starts: Tensor  # [M, C, 2], samples of the utterances where the mixture begins; negative: it begins later
    begin: Tensor  # [M, C], and so below
    end: Tensor
    pause: Tensor
    resume: Tensor


class Mixtures:
    """Draws mixtures of `speech` in these situations, by PyTorch's generator of the device."""

    def __init__(self, speech: Speech, situations: Situations):
        self.speech, self.situations, self.device = speech, situations, speech.samples.device

    def rand(self, *shape: int) -> Tensor:
        return torch.rand(shape, device=self.device)

    def between(self, bounds: tuple[float, float], *shape: int) -> Tensor:
        """Random numbers between two bounds."""
        return bounds[0] + (bounds[1] - bounds[0]) * self.rand(*shape)

    def integers(self, counts: Tensor) -> Tensor:
        """Whole numbers from 0, each below its count: int64, of the shape of int64 `counts`."""
        return (torch.rand(counts.shape, device=self.device, dtype=torch.float64) * counts).long()

    def one_of_two(self, M: int) -> Tensor:
        """bool [M, 2], one of each pair true."""
        first = self.rand(M, 1) < 0.5
        return torch.cat((first, ~first), 1)

    def draw(self, M: int, T: int) -> tuple[Tensor, Tensor, Tensor]:
        """Draw M mixtures of T samples: mixture [M, T], sources [M, C, T] and noise [M, T], float32."""
        situations = self.situations
        sources = self.voices(self.plan(M, T), T)
        echo_length = int(max(situations.reverb_seconds) * RATE)
        size = 4096 * math.ceil((T + echo_length) / 4096)
        frequencies = torch.linspace(0, RATE / 2, size // 2 + 1, device=self.device)
        lowest, highest = TELEPHONE
        band = torch.sigmoid((frequencies - lowest) / 25) * torch.sigmoid((highest - frequencies) / 40)
        telephone = torch.where(self.rand(M, 1, 1) < situations.telephone_share, band, 1.0)  # [M, 1, F]
        room = torch.fft.rfft(self.echoes(M, echo_length), size)
        heard = torch.fft.rfft(sources, size) * self.equalisers(M, frequencies) * telephone * room
        before = sources.square().mean(2, keepdim=True)
        sources = torch.fft.irfft(heard, size)[:, :, :T]
        after = sources.square().mean(2, keepdim=True)
        sources = sources * (before / after.clamp(min=1e-12)).sqrt() * (before > 1e-9)  # levels stay
        noise = self.noises(sources.sum(1))
        noise = torch.fft.irfft(torch.fft.rfft(noise, size) * telephone[:, 0], size)[:, :T]
        mixture = sources.sum(1) + noise
        scale = LARGEST_PEAK / mixture.abs().amax(1, keepdim=True).clamp(min=LARGEST_PEAK)  # [M, 1]
        return mixture * scale, sources * scale[:, :, None], noise * scale

    def plan(self, M: int, T: int) -> Plan:
        """Draw a plan of M mixtures of T samples; no speaker comes twice in one."""
        speech = self.speech
        # The largest of these keys are those of speakers drawn with their weights, without replacement (Gumbel).
        uniform = self.rand(M, len(speech.count)).clamp(1e-9, 1 - 1e-7)
        speakers = (speech.weight.log() - torch.log(-torch.log(uniform))).topk(C).indices  # [M, C]
        count, first = speech.count[speakers][:, :, None], speech.first[speakers][:, :, None]
        utterances = first + self.integers(count.expand(M, C, 2))
        # In a group of unknown speakers another file may be of another speaker, so the same one goes on.
        utterances[..., 1] = torch.where(speech.unknown[speakers], utterances[..., 0], utterances[..., 1])
        speeds = self.integers(torch.full((M, C, 1), len(speech.lengths), device=self.device))
        gains = 10 ** ((self.levels(M) - speech.loudness[utterances]) / 20)  # [M, C, 2]
        peak = speech.peak[utterances]
        gains = torch.where(gains * peak < 1, gains, LARGEST_PEAK / peak)
        spare = speech.lengths[speeds, utterances] - T  # negative where an utterance is shorter
        starts = self.integers(spare.abs() + 1) * spare.sign()
        return Plan(utterances, speeds, gains, starts, *self.times(M, T))

    def levels(self, M: int) -> Tensor:
        """Loudness of the voices in LUFS, [M, C, 1], each of its whole utterance."""
        levels = self.between(SPEECH_LUFS, M, C, 1)
        louder, apart = self.between(LOUDER_LUFS, M, 1, 1), self.between(APART, M, 1, 1)
        uneven = louder - apart * self.one_of_two(M)[:, :, None]
        return torch.where(self.rand(M, 1, 1) < self.situations.uneven_share, uneven, levels)

    def times(self, M: int, T: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """`begin`, `end`, `pause` and `resume` of a Plan, [M, C] in samples."""
        situations = self.situations
        begin = torch.full((M, C), -FADE, device=self.device)
        end = torch.full((M, C), T + FADE, device=self.device)
        # A pause that lies over an end of the mixture is a voice that begins late, or ends early.
        length = (RATE * self.between(PAUSE, M, C)).clamp(max=0.6 * T)
        pause = self.rand(M, C) * (T + length) - length
        pauses = self.rand(M, C) < situations.pause_share
        # Turns: the second begins half an overlap before the cut, and the first ends half of one after it. A negative
        # overlap is silence.
        turns = self.rand(M, 1) < situations.turn_share
        cut = T * (1 + self.between((-0.3, 0.3), M, 1)) / C
        overlap = T * self.between((-0.05, 0.5), M, 1)
        begin[:, 1:] = torch.where(turns, cut - overlap / 2, begin[:, 1:])
        end[:, :-1] = torch.where(turns, cut + overlap / 2, end[:, :-1])
        pause = torch.where(pauses & ~turns, pause, 2.0 * T)
        never = (self.rand(M, 1) < situations.alone_share) & self.one_of_two(M)
        return torch.where(never, 4.0 * T, begin), end, pause, pause + length

    def voices(self, plan: Plan, T: int) -> Tensor:
        """The voices of a plan, [M, C, T]."""
        speech = self.speech
        lengths = speech.lengths[plan.speeds, plan.utterances][..., None]  # [M, C, 2, 1]
        offsets = speech.offsets[plan.speeds, plan.utterances][..., None]
        times = torch.arange(T, device=self.device)
        index = plan.starts[..., None] + times  # [M, C, 2, T]
        exists = (index >= 0) & (index < lengths)
        samples = speech.samples[offsets + index.clamp(min=0).minimum(lengths - 1)] * exists
        samples = samples * (plan.gains[..., None] / 32768)
        begin, end, pause, resume = (each[..., None] for each in (plan.begin, plan.end, plan.pause, plan.resume))
        before = _ramp(times - begin) * _ramp(torch.minimum(pause, end) - times)
        after = _ramp(times - torch.maximum(resume, begin)) * _ramp(end - times)
        return samples[:, :, 0] * before + samples[:, :, 1] * after

    def equalisers(self, M: int, frequencies: Tensor) -> Tensor:
        """Other microphones: what three broad bumps and dips do to the spectra of some voices, [M, C, F]."""
        octaves = torch.log2(frequencies.clamp(min=20.0))
        decibels = torch.zeros_like(octaves)
        for _ in range(3):
            centre = math.log2(100) + self.rand(M, C, 1) * math.log2(38)  # from 100 to 3800 Hz
            width, height = self.between((0.3, 1.5), M, C, 1), self.between((-9.0, 9.0), M, C, 1)
            decibels = decibels + height * torch.exp(-0.5 * ((octaves - centre) / width) ** 2)
        return torch.where(self.rand(M, C, 1) < self.situations.equalised_share, 10 ** (decibels / 20), 1.0)

    def echoes(self, M: int, length: int) -> Tensor:
        """Impulse responses of rooms [M, C, length]: noise that dies away; 1 and zeros where there is no room."""
        decay = self.between(self.situations.reverb_seconds, M, 1, 1)
        direct = self.between(DIRECT, M, C, 1)
        times = torch.arange(length, device=self.device) / RATE
        echo = torch.randn(M, C, length, device=self.device) * torch.exp(-math.log(1000) * times / decay)
        echo = echo * (times >= 0.002)
        echo = echo / echo.square().sum(2, keepdim=True).sqrt() * 10 ** (-direct / 20)
        echo = echo * (self.rand(M, 1, 1) < self.situations.reverb_share)
        echo[:, :, 0] = 1
        return echo

    def noises(self, voices: Tensor) -> Tensor:
        """Noise over voices [M, T], zero for some: a stretch of a noise, which begins again where it ends."""
        speech, (M, T) = self.speech, voices.shape
        which = self.integers(torch.full((M, 1), len(speech.noise_lengths), device=self.device))
        lengths = speech.noise_lengths[which]  # [M, 1]
        index = (self.integers(lengths) + torch.arange(T, device=self.device)) % lengths
        noise = speech.noise[speech.noise_offsets[which] + index].float()  # [M, T]
        ratio = 10 ** (self.between(self.situations.noise_snr, M, 1) / 10)
        power, of_noise = (signal.square().mean(1, keepdim=True) for signal in (voices, noise))
        gain = (power / (ratio * of_noise.clamp(min=1))).sqrt()  # the noise is in steps of 16 bits here
        return noise * gain * (self.rand(M, 1) < self.situations.noise_share)


def _ramp(samples: Tensor) -> Tensor:
    """From 0 to 1 as `samples` go from 0 to the length of a fade."""
    return torch.sin(math.pi / 2 * (samples / FADE).clamp(0, 1)).square()
