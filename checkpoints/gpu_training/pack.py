"""Pack speech, noises made of it, and validation mixtures into one file that train.py reads.

    python -m checkpoints.gpu_training.pack --speech SPEECH --out data.npz
    python -m checkpoints.gpu_training.pack --speech SPEECH --more FOLDER --kitchen kitchen.flac --out data.npz

SPEECH holds LibriSpeech/ and train.csv, whose columns speaker_ID, sex and origin_path name the training utterances,
below LibriSpeech/. A FOLDER holds utterances of people that nobody tells apart. Some speakers are left out of the
training: the validation mixtures are theirs, half of them over noise that training does not hear.
"""

import argparse
import csv
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyloudnorm

from checkpoints.gpu_training.noises import at_level, babble, clatter, coloured, make_noises, modulated
from checkpoints.gpu_training.options import RATE
from common.audio import as_steps, read_audio
from common.errors import UserError, run
from common.files import list_folder, whole_file
from corpus.dynamic_mixing import LARGEST_PEAK, NOISE_LUFS, SPEECH_LUFS, measure_loudness

LEFT_OUT_SEED, VALIDATION_SEED = 20, 60
SHORTEST = 4 * RATE  # samples of a validation mixture
KITCHEN = 92 * RATE, 94 * RATE  # the recording is the training's until the one, the validation's from the other
AUDIO = (".flac", ".wav")


@dataclass
class Utterance:
    """An utterance: `samples` int16 at RATE; `loudness` in LUFS and `peak` of its file."""

    speaker: str
    path: str
    loudness: float
    peak: float
    samples: np.ndarray


def main(argv: Sequence[str] | None = None) -> None:
    args = parse(argv)
    random = np.random.default_rng(LEFT_OUT_SEED)
    rows = read_table(os.path.join(args.speech, "train.csv"))
    left_out = choose_left_out(rows, args.left_out, random)
    named = [(row["speaker_ID"], os.path.join(args.speech, "LibriSpeech", row["origin_path"])) for row in rows]
    training = [each for each in named if each[0] not in left_out] + grouped(args.more, args.groups, random)
    training = sorted(utterances_of(training), key=lambda utterance: (utterance.speaker, utterance.path))
    validation = list(utterances_of([each for each in named if each[0] in left_out]))
    kitchen = [None, None]
    if args.kitchen:
        recording = read_audio(args.kitchen, RATE, channel=1).astype(float)
        kitchen = [recording[: KITCHEN[0]], recording[KITCHEN[1] :]]
        if not len(kitchen[1]):
            raise UserError(f"--kitchen {args.kitchen}: {len(recording) / RATE:.0f} s, must last more than 94 s")
    data = packed_speech(training)
    data |= packed_noises(make_noises([each.samples for each in training], kitchen[0], args.noises))
    data |= packed_validation(validation, args.validation_mixtures, kitchen[1])
    with whole_file(args.out) as partial, open(partial, "wb") as file:
        np.savez(file, **data)
    print(
        f"{args.out}: {len(data['speech']) / RATE / 60:.1f} minutes of {len(training)} utterances,"
        f" {len(data['unknown'])} speakers or groups; {len(data['noise_lengths'])} noises;"
        f" {len(data['validation_lengths'])} validation mixtures of speakers {', '.join(sorted(left_out))}"
    )


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The options on a command line. Raises UserError for numbers that make no sense."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", required=True, help="folder of LibriSpeech/ and train.csv")
    parser.add_argument("--more", nargs="*", default=[], help="folders of utterances of unknown speakers")
    parser.add_argument("--groups", type=int, default=45, help="about so many people speak there (default: 45)")
    parser.add_argument("--kitchen", help="recording of noise: its first 92 s, varied, for training")
    parser.add_argument("--noises", type=float, default=1.0, help="share of the 275 noises to make (default: 1)")
    parser.add_argument("--left_out", type=int, default=20, help="speakers, of both sexes alike (default: 20)")
    parser.add_argument("--validation_mixtures", type=int, default=60, help="at most so many (default: 60)")
    parser.add_argument("--out", required=True, help=".npz file to write")
    args = parser.parse_args(argv)
    if args.left_out < 2 or args.left_out % 2 or min(args.groups, args.validation_mixtures, args.noises) <= 0:
        raise UserError(
            f"--left_out {args.left_out} --groups {args.groups} --validation_mixtures {args.validation_mixtures}"
            f" --noises {args.noises}: must be above 0, and the first even"
        )
    return args


def read_table(path: str) -> list[dict[str, str]]:
    """The rows of train.csv. Raises UserError if it cannot be read or lacks a column."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read ({error}); give --speech a folder with such a table") from None
    columns = {"speaker_ID", "sex", "origin_path"}
    if not rows or not columns <= rows[0].keys():
        raise UserError(f"{path}: must have rows, and the columns {', '.join(sorted(columns))}")
    return rows


def choose_left_out(rows: Sequence[dict[str, str]], count: int, random: np.random.Generator) -> set[str]:
    """Draw women and men, half each, of the speakers of a single utterance: little is lost with those."""
    utterances = Counter(row["speaker_ID"] for row in rows)
    sexes = {row["speaker_ID"]: row["sex"] for row in rows}
    chosen = set()
    for sex in "FM":
        found = [speaker for speaker in sexes if sexes[speaker] == sex and utterances[speaker] == 1]
        if len(found) < count // 2:
            raise UserError(f"--left_out {count}: {len(found)} speakers {sex} have a single utterance; leave out fewer")
        chosen.update(random.choice(sorted(found, key=int), count // 2, replace=False).tolist())
    return chosen


def grouped(folders: Sequence[str], groups: int, random: np.random.Generator) -> list[tuple[str, str]]:
    """Pairs (group, path) of the audio files in folders: as many groups as people are there, each a stand-in for one.

    Two utterances of different groups are then mostly of different people.
    """
    paths = [
        os.path.join(folder, name) for folder in folders for name in list_folder(folder) if name.lower().endswith(AUDIO)
    ]
    random.shuffle(paths)
    return [(f"unknown/{number % groups:03d}", path) for number, path in enumerate(paths)]


def utterances_of(files: Sequence[tuple[str, str]]) -> Iterator[Utterance]:
    """The utterances of pairs (speaker, path). Unfit, silent or short files are left out, with a line."""
    for speaker, path in files:
        try:
            loudness, peak = measure_loudness(path)
            samples = read_audio(path, RATE, channel=1)
        except UserError as error:
            print(f"left out: {error}", file=sys.stderr)
        else:
            yield Utterance(speaker, path, loudness, peak, as_steps(samples, "PCM_16"))


def packed_speech(utterances: Sequence[Utterance]) -> dict[str, np.ndarray]:
    """The arrays of `speech.Speech` for these utterances, of which each speaker's follow each other."""
    speakers = sorted({each.speaker for each in utterances})
    rows = {speaker: row for row, speaker in enumerate(speakers)}
    return {
        "speech": np.concatenate([each.samples for each in utterances]),
        "speech_lengths": np.array([len(each.samples) for each in utterances]),
        "speech_loudness": np.array([each.loudness for each in utterances], np.float32),
        "speech_peak": np.array([each.peak for each in utterances], np.float32),
        "speech_speaker": np.array([rows[each.speaker] for each in utterances]),
        "unknown": np.array(["/" in speaker for speaker in speakers]),
    }


def packed_noises(noises: Iterator[np.ndarray]) -> dict[str, np.ndarray]:
    noises = list(noises)
    return {"noise": np.concatenate(noises), "noise_lengths": np.array([len(noise) for noise in noises])}


def packed_validation(utterances: Sequence[Utterance], count: int, kitchen: np.ndarray | None) -> dict[str, np.ndarray]:
    """Validation mixtures as LibriMix draws them, in min mode; the first half of them clean, the second with noise.

    Returns the arrays `validation` float32 [3, n], both voices and the noise of all mixtures on end, and
    `validation_lengths` and `validation_noisy` of each.
    """
    random = np.random.default_rng(VALIDATION_SEED)
    longest = max(len(each.samples) for each in utterances)
    parts, noisy = [], []
    pairs = list(drawn_pairs(utterances, count, random))
    for number, pair in enumerate(pairs):
        voices = [each.samples * (gain_of(each, random) / 32768) for each in pair]
        length = min(map(len, voices))
        noise = validation_noise(number, longest, utterances, kitchen, random) / 32768
        loudness = pyloudnorm.Meter(RATE).integrated_loudness(noise)
        noise = noise * 10 ** ((random.uniform(*NOISE_LUFS) - loudness) / 20)
        noisy.append(number >= len(pairs) // 2)
        parts.append(np.stack([*(voice[:length] for voice in voices), noise[:length] * noisy[-1]]).astype(np.float32))
    return {
        "validation": np.concatenate(parts, 1),
        "validation_lengths": np.array([part.shape[1] for part in parts]),
        "validation_noisy": np.array(noisy),
    }


def drawn_pairs(
    utterances: Sequence[Utterance], count: int, random: np.random.Generator
) -> Iterator[tuple[Utterance, Utterance]]:
    """Draw different pairs of utterances of SHORTEST or more; as many as there are, if those are fewer."""
    utterances = sorted(utterances, key=lambda utterance: int(utterance.speaker))
    fit = sum(len(each.samples) >= SHORTEST for each in utterances)
    if fit < 2:
        raise UserError(f"{fit} of the speakers left out have 4 s of speech, and two are needed; give --left_out more")
    drawn = set()
    while len(drawn) < min(count, fit * (fit - 1) // 2):
        pair = random.choice(len(utterances), 2, replace=False).tolist()
        found = tuple(utterances[number] for number in pair)
        if frozenset(pair) not in drawn and min(len(each.samples) for each in found) >= SHORTEST:
            drawn.add(frozenset(pair))
            yield found


def gain_of(utterance: Utterance, random: np.random.Generator) -> float:
    """What brings an utterance to a loudness drawn as LibriMix draws it, or to the largest peak if that would clip."""
    gain = 10 ** ((random.uniform(*SPEECH_LUFS) - utterance.loudness) / 20)
    return gain if gain * utterance.peak < 1 else LARGEST_PEAK / utterance.peak


def validation_noise(
    number: int, samples: int, utterances: Sequence[Utterance], kitchen: np.ndarray | None, random: np.random.Generator
) -> np.ndarray:
    """The noise of the mixture of this number, int16: half of them of the kitchen, where there is one."""
    kind = number % 6
    if kind < 3 and kitchen is not None:
        start = random.integers(len(kitchen))
        return at_level(np.take(kitchen, np.arange(start, start + samples), mode="wrap"))
    if kind == 5:
        return at_level(babble(random, samples, [each.samples for each in utterances]))
    return at_level((coloured, coloured, coloured, clatter, modulated)[kind](random, samples))


if __name__ == "__main__":
    run(main)
