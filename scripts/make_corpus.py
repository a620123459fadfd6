"""Speaks a small corpus for the quick start, in LibriSpeech's layout, with LibriMix metadata of its mixtures.

    python -m scripts.make_corpus --out_dir quickstart/corpus

writes OUT/LibriSpeech/SUBSET/SPEAKER/CHAPTER/SPEAKER-CHAPTER-NNNN.flac, 16 kHz mono, and then
OUT/metadata/libri2mix_SUBSET.csv, for the subsets train-clean-100, dev-clean and test-clean. A corpus that is there is
kept. scripts/speech.py has the speakers.

A sentence is one phrase from each list of its language in sentences.json. The last phrases of every list are kept for
the dev and test subsets, so nothing that is heard there, not even a phrase, occurs in the training subset.
"""

import csv
import itertools
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import soundfile
from tqdm import tqdm

from common.command_line import parse
from common.errors import UserError, run
from common.files import whole_text
from common.parallel import map_in_processes
from common.wording import print_line
from scripts.speech import SPEAKERS, Speaker, write_speech

UTTERANCES = {"train-clean-100": 50, "dev-clean": 3, "test-clean": 4}  # of each speaker
HELD_OUT_PHRASES = 4
LOUDNESS = (-33.0, -25.0)  # LUFS, as LibriMix draws them
LARGEST_SAMPLE = 0.9  # of a mixture


@dataclass(frozen=True)
class Utterance:
    """A file of speech: who speaks, its path in the folder `LibriSpeech`, and its loudness in LUFS."""

    speaker: Speaker
    path: str
    loudness: float


def draw_sentences(
    phrase_lists: Sequence[Sequence[str]], held_out: bool, generator: np.random.Generator
) -> Iterator[str]:
    """Draw different sentences of a language without end, in random order, until none is left.

    Args:
        phrase_lists: the lists that a sentence takes one phrase each of, in order.
        held_out: True for the phrases kept for dev and test, False for those of training.
        generator: numpy random generator.

    Yields text.
    """
    part = slice(-HELD_OUT_PHRASES, None) if held_out else slice(None, -HELD_OUT_PHRASES)
    sentences = list(itertools.product(*(phrases[part] for phrases in phrase_lists)))
    for number in generator.permutation(len(sentences)):
        yield f"{' '.join(sentences[number])}."


def speak_subset(folder: str, subset: str, utterances: int, sentences: dict[str, Iterator[str]]) -> list[Utterance]:
    """Write one subset's files, `utterances` of each speaker, in as many processes as there are cores.

    Args:
        folder: the folder `LibriSpeech`.
        sentences: {language: iterator of text}.
    """
    chapter = 1 + list(UTTERANCES).index(subset)
    turns = list(itertools.product(SPEAKERS, range(utterances)))
    paths = [f"{subset}/{each.number}/{chapter}/{each.number}-{chapter}-{number:04d}.flac" for each, number in turns]
    for path in paths:
        os.makedirs(os.path.join(folder, os.path.dirname(path)), exist_ok=True)
    spoken = map_in_processes(
        write_speech,
        (
            (os.path.join(folder, path), speaker, next(sentences[speaker.voice[:2]]))
            for path, (speaker, _) in zip(paths, turns, strict=True)
        ),
    )
    spoken = tqdm(spoken, desc=f"speaking {subset}", total=len(turns), disable=None)
    return [
        Utterance(speaker, path, loudness) for path, (speaker, _), loudness in zip(paths, turns, spoken, strict=True)
    ]


def draw_pairs(spoken: Sequence[Utterance], generator: np.random.Generator) -> list[tuple[Utterance, Utterance]]:
    """Pair every utterance with the next of a random ring, where that is another speaker's.

    Each is then in at most two mixtures, once as either source, and no pair occurs twice.
    """
    ring = [spoken[number] for number in generator.permutation(len(spoken))]
    neighbours = zip(ring, ring[1:] + ring[:1], strict=True)
    return [(first, second) for first, second in neighbours if first.speaker != second.speaker]


def draw_gains(sources: Sequence[np.ndarray], loudness: Sequence[float], generator: np.random.Generator) -> np.ndarray:
    """Gains that bring each of two sources to a random loudness, lowered together where their sum would clip.

    Args:
        sources: two float arrays [T], 16 kHz, of any lengths.
        loudness: of either, in LUFS.

    Returns the gains [2].
    """
    gains = 10 ** ((generator.uniform(*LOUDNESS, size=2) - np.array(loudness)) / 20)
    mixture = np.zeros(max(map(len, sources)))
    for samples, gain in zip(sources, gains, strict=True):
        mixture[: len(samples)] += gain * samples
    return gains * min(1.0, LARGEST_SAMPLE / np.abs(mixture).max())


def write_metadata(
    path: str, folder: str, pairs: Sequence[tuple[Utterance, Utterance]], generator: np.random.Generator
) -> None:
    """Write LibriMix's metadata of these pairs, with drawn gains; whole or not at all."""
    with whole_text(path) as file:
        rows = csv.writer(file)
        rows.writerow(["mixture_ID", "source_1_path", "source_1_gain", "source_2_path", "source_2_gain"])
        for pair in tqdm(pairs, desc=f"drawing {os.path.basename(path)}", disable=None):
            sources = [soundfile.read(os.path.join(folder, each.path))[0] for each in pair]
            gains = draw_gains(sources, [each.loudness for each in pair], generator)
            names = [os.path.splitext(os.path.basename(each.path))[0] for each in pair]
            rows.writerow(["_".join(names), pair[0].path, float(gains[0]), pair[1].path, float(gains[1])])


def make_corpus(out_dir: str | os.PathLike, utterances: dict[str, int]) -> dict[str, int]:
    """Write the corpus. `utterances`: {subset: number of each speaker}. Returns {subset: number of mixtures}."""
    with open(os.path.join(os.path.dirname(__file__), "sentences.json"), encoding="utf-8") as file:
        languages = json.load(file)
    speech, metadata = os.path.join(out_dir, "LibriSpeech"), os.path.join(out_dir, "metadata")
    generator = np.random.default_rng(0)
    sentences = {
        held_out: {
            language: draw_sentences(phrase_lists, held_out, generator) for language, phrase_lists in languages.items()
        }
        for held_out in (False, True)
    }
    spoken = {
        subset: speak_subset(speech, subset, count, sentences[not subset.startswith("train")])
        for subset, count in utterances.items()
    }
    os.makedirs(metadata, exist_ok=True)
    mixtures = {}
    for subset in utterances:  # their metadata come last, as a sign that the corpus is complete
        pairs = draw_pairs(spoken[subset], generator)
        write_metadata(metadata_path(out_dir, subset), speech, pairs, generator)
        mixtures[subset] = len(pairs)
    return mixtures


def metadata_path(out_dir: str | os.PathLike, subset: str) -> str:
    """The file of a subset's mixtures."""
    return os.path.join(out_dir, "metadata", f"libri2mix_{subset}.csv")


def main(argv: Sequence[str] | None = None) -> None:
    args = parse(__doc__, "corpus", argv=argv)
    if all(os.path.exists(metadata_path(args.out_dir, subset)) for subset in UTTERANCES):
        print_line(f"{args.out_dir}: the corpus is there already, and is kept")
        return
    try:
        mixtures = make_corpus(args.out_dir, UTTERANCES)
    except (OSError, soundfile.SoundFileError) as error:
        raise UserError(f"--out_dir {args.out_dir}: cannot be written ({error}); choose another folder") from None
    print_line(f"{args.out_dir}: {len(SPEAKERS)} speakers;"
          f" mixtures: {', '.join(f'{count} {subset}' for subset, count in mixtures.items())}")  # fmt: skip


if __name__ == "__main__":
    run(main)
