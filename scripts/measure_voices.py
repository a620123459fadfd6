"""Measures, on recordings made of real speech, how well it is told who speaks when, and one voice from two.

    python -m scripts.measure_voices dev SPEECH CHECKPOINT ESTIMATES     # what the documentation has
    python -m scripts.measure_voices train SPEECH CHECKPOINT ESTIMATES   # the same of the training's speakers
    python -m scripts.measure_voices fit SPEECH CHECKPOINT ESTIMATES     # better thresholds for these

SPEECH is a folder of LibriSpeech/, noise/doing_the_dishes.wav and of dev.csv and train.csv, which list utterances and
their speakers. The estimates of each recording are kept in the folder ESTIMATES, one for each checkpoint, and are made
where they are missing. A number after it, such as 5, takes a fifth of the recordings.
"""

import csv
import hashlib
import itertools
import os
import sys
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from common.audio import read_audio
from common.errors import UserError, run
from common.estimates import best_permutation
from common.files import make_folder, whole_file
from evaluation.metrics import si_snr
from network.in_numpy import NumpyNetwork, load_in_numpy
from recordings.activity import HOP_SECONDS, RULES, Rules, activity, gather_powers
from recordings.pieces import at_level, estimate, without_offset
from recordings.same_voice import LIMITS, MOST_LEFT_OUT, Limits, Measures, left_out, measure, same_voices, stretches

RATE = 8000
TRIED = dict(
    own_range=(20, 25, 28, 32, 36), recording_range=(20, 24, 28, 32, 36), leak_range=(6, 8, 10, 12, 14),
    above_noise=(0, 3, 6, 9, 12), rise=(0, 2, 4, 6), window=(0.03, 0.05, 0.07, 0.1), pause=(0.2, 0.3, 0.4),
    shortest=(0.1, 0.15, 0.2, 0.3),
)  # of activity.Rules  # fmt: skip
TRIED_LIMITS = dict(
    most_other=np.arange(-30, -14.5, 0.5), least_copied=np.arange(0.05, 0.8, 0.05),
    longest_lead=np.arange(0.1, 0.55, 0.1), longest_clear_lead=np.arange(0.25, 1.3, 0.2),
)  # of same_voice.Limits  # fmt: skip
SILENCED = 3  # of a voice that is silenced, beside a copy that is left in: how much it counts
KINDS = {"alone": 150, "at once": 105, "in turns": 45}  # how many recordings of each, of the speakers of dev.csv
FEWER = 3  # of so many, one is made of the speakers of train.csv
NOISY = 3  # every third one has noise
LOUDNESS = (-33, -25)  # dB of speech, as LibriMix draws loudness; noise is up to 5 dB quieter
GAP_SECONDS = (-0.8, 1.2)  # from a turn's end to the next turn; below 0 they overlap


@dataclass(frozen=True)
class Example:
    """A recording that was made: `sources` [2, T], of which the second is silent if it is of one voice, and `noise`."""

    sources: np.ndarray
    noise: np.ndarray

    @property
    def mixture(self) -> np.ndarray:
        return self.sources.sum(axis=0) + self.noise


class Speakers:
    """Speech of the speakers of a part, "train" or "dev", and recordings that are made of it, each time the same."""

    def __init__(self, folder: str, part: str):
        self.part, self.speakers = part, {}
        with open(os.path.join(folder, f"{part}.csv"), encoding="utf-8") as file:
            for row in csv.DictReader(file):
                path = os.path.join(folder, "LibriSpeech", row["origin_path"])
                self.speakers.setdefault(row["speaker_ID"], []).append(path)
        noise = read_audio(os.path.join(folder, "noise", "doing_the_dishes.wav"), RATE)
        half = len(noise) // 2
        self.noise = noise[:half] if part == "train" else noise[half:]

    def example(self, kind: str, number: int) -> Example:
        """The recording of this number, of one of KINDS."""
        random = np.random.default_rng([*f"{self.part} {kind} {number}".encode()])
        samples = int(random.uniform(*((8, 16) if kind == "in turns" else (4, 8))) * RATE)
        speakers = random.choice(list(self.speakers), 2, replace=False)
        voices = np.stack([self.speech(speaker, samples, random) for speaker in speakers])  # [2, T]
        voices = np.stack([at_loudness(voice, random.uniform(*LOUDNESS)) for voice in voices])
        noise = at_loudness(cut(self.noise, samples, random), random.uniform(LOUDNESS[0] - 5, LOUDNESS[1] - 5))
        if kind == "alone":
            voices[1] = 0
        elif kind == "in turns":
            voices *= turns(samples, random)
        return Example(voices, noise * (number % NOISY == 0))

    def speech(self, speaker: str, samples: int, random: np.random.Generator) -> np.ndarray:
        """A stretch [samples] of a speaker's utterances, one after the other."""
        said = np.zeros(0, np.float32)
        while len(said) < samples:
            said = np.concatenate([said, read_audio(random.choice(self.speakers[speaker]), RATE)])
        return cut(said, samples, random)


def cut(signal: np.ndarray, samples: int, random: np.random.Generator) -> np.ndarray:
    """A random stretch of a signal."""
    start = random.integers(len(signal) - samples + 1)
    return signal[start : start + samples]


def at_loudness(signal: np.ndarray, decibels: float) -> np.ndarray:
    """The signal with this root mean square of all but its pauses."""
    loud = signal[np.abs(signal) > 0.02 * np.abs(signal).max()]
    return (signal * 10 ** (decibels / 20) / np.sqrt(np.mean(loud**2))).astype(np.float32)


def turns(samples: int, random: np.random.Generator) -> np.ndarray:
    """Gains [2, T] of two voices that take turns of 1 to 4 s, faded over 10 ms."""
    gains, start = np.zeros((2, samples), np.float32), 0
    for voice in itertools.cycle((0, 1)):
        length = int(random.uniform(1, 4) * RATE)
        gains[voice, start : start + length] = 1
        start = max(0, start + length + int(random.uniform(*GAP_SECONDS) * RATE))
        if start >= samples:
            break
    fade = np.hanning(RATE // 100) / np.hanning(RATE // 100).sum()
    return np.stack([np.convolve(gain, fade, mode="same") for gain in gains]).astype(np.float32)


def separated(net: NumpyNetwork, example: Example, path: str) -> np.ndarray:
    """The estimates [2, T] of a recording, from a file if they are there, which else is written."""
    if os.path.isfile(path):
        return np.load(path)
    make_folder(os.path.dirname(path))
    mixture = without_offset(example.mixture)
    estimates = at_level(estimate(net, mixture, 0), mixture)
    with whole_file(path) as partial, open(partial, "wb") as file:
        np.save(file, estimates)
    return estimates


def true_activity(sources: np.ndarray) -> np.ndarray:
    """Where the sources [2, T] speak: bool [2, hops].

    Each is by itself compared with its own loudness, down to 32 dB below it; pauses below 0.4 s belong to speech.
    """
    alone = replace(RULES, own_range=32, above_noise=0, recording_range=200, leak_range=200, rise=0)
    alone = replace(alone, window=0.03, pause=0.4, shortest=0.1)
    signals = [np.vstack([source, source]) for source in sources]
    return np.concatenate([activity(powers_of(each), HOP_SECONDS, alone) for each in signals])


def powers_of(signals: np.ndarray) -> np.ndarray:
    """Of signals [S, T] what `gather_powers` gives."""
    return gather_powers(lambda start, length: signals[:, start : start + length], signals.shape[1], RATE)


def activity_errors(true: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Hops in which speech is missed, false and another's, and all of speech; and those where a voice's state is wrong.

    Both are bool [2, hops]. The estimates are assigned to the sources as is best for them. A test holds the first four
    to simpleder's.
    """
    agreement = (true[:, np.newaxis] & found[np.newaxis]).sum(axis=2)  # [2, 2]
    order = best_permutation(agreement)
    speaking, heard = true.sum(axis=0), found.sum(axis=0)  # [hops]
    missed, false = np.maximum(speaking - heard, 0).sum(), np.maximum(heard - speaking, 0).sum()
    other = np.minimum(speaking, heard).sum() - agreement[np.arange(len(order)), order].sum()
    return np.array([missed, false, other, speaking.sum(), (true != found[order]).sum()])


@dataclass(frozen=True)
class Result:
    """What is measured of a recording.

    Attributes:
        powers: of the mixture, and of what is written of the estimates, [3, hops].
        true: activity of the voices, bool [2, hops].
        adds_up: whether the estimates leave nothing out, without which none is silenced.
        measures: of the estimates, by stretches.
        separated, whole: SI-SNR in dB of the estimates and, if one is silenced, of the first, in the mean of voices.
    """

    powers: np.ndarray
    true: np.ndarray
    adds_up: bool
    measures: list[Measures]
    separated: float
    whole: float

    def silenced(self, limits: Limits = LIMITS) -> bool:
        """Whether the second estimate is silenced."""
        return self.adds_up and max(each.difference(limits) for each in self.measures) < 0


def results(
    net: NumpyNetwork, folder: str, part: str, checkpoint: str, kept: str, fewer: int = 1
) -> dict[tuple[str, bool], list[Result]]:
    """Separate the recordings of a part, "dev" or "train"; lists by their kind and whether they have noise."""
    voices, found = Speakers(folder, part), {}
    begin = os.path.join(kept, hashlib.sha256(Path(checkpoint).read_bytes()).hexdigest()[:16])
    for kind, count in KINDS.items():
        for number in tqdm(
            range(count // fewer if part == "dev" else count // FEWER // fewer), desc=f"{part} {kind}", disable=None
        ):
            example = voices.example(kind, number)
            estimates = separated(net, example, os.path.join(begin, f"{part} {kind} {number}.npy"))
            result = result_of(example, estimates)
            found.setdefault((kind, example.noise.any()), []).append(result)
    return found


def result_of(example: Example, estimates: np.ndarray) -> Result:
    """What is measured of a recording and its estimates."""
    signals = np.vstack([example.mixture, estimates])  # [3, T]
    samples, measures = signals.shape[1], []
    for start, length in stretches(samples, RATE):
        measures.append(measure(estimates[:, start : start + length], RATE))

    def read(start: int, length: int) -> np.ndarray:
        return signals[:, start : start + length]

    adds_up = left_out(read, samples, RATE) <= MOST_LEFT_OUT
    written = same_voices(read, samples, RATE, 2).written(estimates, signals[0])
    powers = powers_of(np.vstack([signals[:1], written]))
    sources = example.sources[example.sources.any(axis=1)]  # [1, T] or [2, T]
    values = si_snr(sources, np.vstack([estimates, written[:1]]))  # [1, 3] or [2, 3]
    best = values[np.arange(len(sources)), best_permutation(values[:, :2])]
    return Result(powers, true_activity(example.sources), adds_up, measures, best.mean(), values[:, 2].mean())


def print_voices(found: dict[tuple[str, bool], list[Result]]) -> None:
    """Print how well one voice is told from two, as a table.

    SI-SNR of a voice that is silenced counts as the first file's, where it then is with the other.
    """
    print("| recordings | | rightly decided | SI-SNR before | now | least now |\n|---|---|---|---|---|---|")
    for (kind, noisy), each in found.items():
        right = np.mean([result.silenced() == (kind == "alone") for result in each])
        now = [result.whole if result.silenced() else result.separated for result in each]
        before = np.mean([result.separated for result in each])
        name = f"{kind}, with noise" if noisy else kind
        print(f"| {name} | {len(each)} | {right:.1%} | {before:.2f} | {np.mean(now):.2f} | {min(now):.2f} |")


def fitted_limits(found: dict[tuple[str, bool], list[Result]]) -> Limits:
    """The limits that decide best: the middle of all that do."""
    tried = [Limits(*values) for values in itertools.product(*TRIED_LIMITS.values())]
    costs = np.zeros(len(tried))
    for (kind, _), each in found.items():
        for result in each:
            silenced = np.array([result.silenced(limits) for limits in tried])
            costs += ~silenced if kind == "alone" else SILENCED * silenced
    best = [limits for limits, cost in zip(tried, costs, strict=True) if cost == costs.min()]
    print(f"limits that cost {costs.min():g}: {len(best)} of {len(tried)}")
    return Limits(*(float(np.median([getattr(each, name) for each in best])) for name in TRIED_LIMITS))


def print_activity(found: dict[tuple[str, bool], list[Result]]) -> None:
    """Print how well it is told who speaks when, as a table."""
    print(
        "| recordings | | missed | false | another's | diarization errors | wrong hops |\n|---|---|---|---|---|---|---|"
    )
    for (kind, noisy), each in found.items():
        missed, false, other, speech, wrong = errors_of(each, RULES)
        hops = sum(result.true.size for result in each)
        parts = [missed / speech, false / speech, other / speech, (missed + false + other) / speech, wrong / hops]
        name = f"{kind}, with noise" if noisy else kind
        print(f"| {name} | {len(each)} |", " | ".join(f"{part:.1%}" for part in parts), "|")


def errors_of(found: list[Result], rules: Rules) -> np.ndarray:
    """The sum of `activity_errors` of recordings."""
    return sum(activity_errors(each.true, activity(each.powers, HOP_SECONDS, rules)) for each in found)


def fitted(found: dict[tuple[str, bool], list[Result]]) -> Rules:
    """The rules that make the fewest errors, each tried in turn, twice; recordings with noise count for half."""

    def errors(rules: Rules) -> float:
        sums = {key: errors_of(each, rules) for key, each in found.items()}
        return sum(each[:3].sum() / each[3] * (0.5 if noisy else 1) for (_, noisy), each in sums.items())

    rules = RULES
    for field in [*fields(Rules), *fields(Rules)]:
        rules = min((replace(rules, **{field.name: value}) for value in TRIED[field.name]), key=errors)
    return rules


def main() -> None:
    if len(sys.argv) < 5 or sys.argv[1] not in ("dev", "train", "fit") or not all(map(str.isdecimal, sys.argv[5:])):
        raise UserError("give dev, train or fit, then SPEECH CHECKPOINT ESTIMATES; see the head of this file")
    what, folder, checkpoint, kept, *fewer = sys.argv[1:]
    net = load_in_numpy(checkpoint)
    found = results(net, folder, "dev" if what == "dev" else "train", checkpoint, kept, *map(int, fewer))
    if what == "fit":
        print(fitted(found), fitted_limits(found))
    else:
        print_voices(found)
        print_activity(found)


if __name__ == "__main__":
    run(main)
