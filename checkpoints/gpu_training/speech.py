"""The packed speech on the GPU, at several speeds."""

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from checkpoints.gpu_training.options import RATE, C, Situations
from common.errors import UserError

SPEED_STEP = 0.005  # that speeds are multiples of
GROUP_WEIGHT = 0.7  # how often a group of unknown speakers is drawn, where a speaker is drawn once: its words are few


def at_speed(samples: Tensor, lengths: Tensor, speed: float) -> tuple[Tensor, Tensor]:
    """Play utterances faster, their pitch raised as much; what is above half of the rate then is left out.

    Args:
        samples: int16 [n], all utterances on end.
        lengths: int64 [U] of them.
        speed: in steps of SPEED_STEP; 1 for as it is.

    Returns the same two of the faster ones. They are resampled by their spectrum, at lengths that FFTs like.
    """
    if speed == 1:
        return samples, lengths
    before, after = 64 * round(speed / SPEED_STEP), 64 * round(1 / SPEED_STEP)  # samples that become samples
    parts = []
    for utterance in samples.split(lengths.tolist()):
        units = math.ceil((len(utterance) + 1000) / before)
        spectrum = torch.fft.rfft(utterance.float(), units * before)
        faster = torch.fft.irfft(spectrum, units * after) * (after / before)
        kept = faster[: math.ceil(len(utterance) * after / before)]
        parts.append(kept.round().clamp(-32768, 32767).to(torch.int16))
    return torch.cat(parts), torch.tensor([len(part) for part in parts], device=lengths.device)


class Speech:
    """What mixtures are drawn from: all utterances at all speeds, and the noises.

    Attributes: `samples` int16 [n] and `noise` int16 [n], on end; `offsets` and `lengths` int64 [speeds, U] of the
    utterances; `loudness` in LUFS and `peak` float32 [U] of their files; `first` and `count` int64 [speakers], for a
    speaker's utterances follow each other; `unknown` bool [speakers], groups of files whose speakers nobody knows;
    `weight` float32 [speakers], how often each is drawn.
    """

    def __init__(self, data: Mapping[str, np.ndarray], situations: Situations, device: torch.device):
        def on_device(name: str) -> Tensor:
            return torch.from_numpy(data[name]).to(device)

        lengths, samples = on_device("speech_lengths"), on_device("speech")
        most = situations.speed_change / 100
        wanted = np.linspace(1 - most, 1 + most, situations.speed_copies)
        speeds = np.unique(np.round(wanted / SPEED_STEP).astype(int)) * SPEED_STEP
        copies = [at_speed(samples, lengths, round(float(speed), 6)) for speed in speeds]
        self.samples = torch.cat([copy for copy, _ in copies])
        self.lengths = torch.stack([copy for _, copy in copies])
        self.offsets = (self.lengths.flatten().cumsum(0) - self.lengths.flatten()).view(self.lengths.shape)
        self.loudness, self.peak = on_device("speech_loudness"), on_device("speech_peak")
        speaker = data["speech_speaker"]
        self.count = torch.from_numpy(np.bincount(speaker)).to(device)
        self.first = self.count.cumsum(0) - self.count
        self.unknown = on_device("unknown")
        self.weight = torch.where(self.unknown, GROUP_WEIGHT, 1.0)
        if len(self.count) < C:
            raise UserError(f"--data: has {len(self.count)} speaker, and a mixture {C}; pack more speech")
        self.noise, self.noise_lengths = on_device("noise"), on_device("noise_lengths")
        self.noise_offsets = self.noise_lengths.cumsum(0) - self.noise_lengths
        self.described = (
            f"{samples.numel() / RATE / 60:.1f} minutes of {len(self.count)} speakers in {len(lengths)} utterances at"
            f" {len(speeds)} speeds, {self.samples.nbytes / 2**20:.0f} MiB"
        )
