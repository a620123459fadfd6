"""Speaks a small corpus for the quick start, in LibriSpeech's layout, with LibriMix metadata of its mixtures.

    python -m scripts.make_corpus --out_dir quickstart/corpus

writes OUT/LibriSpeech/SUBSET/SPEAKER/CHAPTER/SPEAKER-CHAPTER-NNNN.flac, 16 kHz mono, and then
OUT/metadata/libri2mix_SUBSET.csv, for the subsets train-clean-100, dev-clean and test-clean. A corpus that is there is
kept. The speech comes from py-nanotts (SVOX Pico), whose package carries the voices of six women in five languages.
Each also lends hers to a man: spoken lower and slower, and stretched, which lengthens the vocal tract.

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
import pyloudnorm
import soundfile
from py_nanotts import NanoTTS
from scipy.signal import resample_poly
from tqdm import tqdm

from common.command_line import parse
from common.errors import UserError, run
from common.files import whole_file, whole_text
from common.wording import print_line

RATE = 16000
UTTERANCES = {"train-clean-100": 50, "dev-clean": 3, "test-clean": 4}  # of each speaker
HELD_OUT_PHRASES = 4
LOUDNESS = (-33.0, -25.0)  # LUFS, as LibriMix draws them
LARGEST_SAMPLE = 0.9  # of a mixture
SYNTHESIS_VOLUME = 0.4  # louder, some vowels clip
SILENCE = 0.01


@dataclass(frozen=True)
class Speaker:
    """A voice of the synthesiser, its pitch and speed (1: as recorded), and its vocal tract's length in percent."""

    number: int
    voice: str
    pitch: float
    speed: float
    tract: int


SPEAKERS = (
    Speaker(1, "en-US", 1.00, 1.00, 100),
    Speaker(2, "en-GB", 1.25, 1.10, 96),
    Speaker(3, "de-DE", 1.10, 1.05, 104),
    Speaker(4, "fr-FR", 1.28, 1.00, 95),
    Speaker(5, "it-IT", 1.15, 1.10, 100),
    Speaker(6, "es-ES", 1.20, 1.10, 98),
    Speaker(7, "en-US", 0.60, 1.05, 120),
    Speaker(8, "en-GB", 0.70, 0.95, 116),
    Speaker(9, "de-DE", 0.68, 1.00, 122),
    Speaker(10, "fr-FR", 0.75, 1.00, 117),
    Speaker(11, "it-IT", 0.77, 1.05, 118),
    Speaker(12, "es-ES", 0.60, 1.15, 121),
)


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


def speak(speaker: Speaker, text: str) -> np.ndarray:
    """Speak `text`, without the silence around it.

    A signal stretched to `tract` percent has its formants, its pitch and its speed divided by that; the latter two are
    asked of the synthesiser accordingly. Returns float32 [T], 16 kHz.
    """
    stretch = speaker.tract / 100
    pcm = NanoTTS().speak(
        text,
        voice=speaker.voice,
        pitch=speaker.pitch * stretch,
        speed=speaker.speed * stretch,
        volume=SYNTHESIS_VOLUME,
    )
    samples = np.frombuffer(pcm, "<i2").astype(np.float32) / 32768
    heard = np.flatnonzero(np.abs(samples) > SILENCE)
    return resample_poly(samples[heard[0] : heard[-1] + 1], speaker.tract, 100)


def speak_subset(
    folder: str, subset: str, utterances: int, sentences: dict[str, Iterator[str]]
) -> list[tuple[Speaker, str]]:
    """Write one subset's files, `utterances` of each speaker.

    Args:
        folder: the folder `LibriSpeech`, which the returned paths are relative to.
        sentences: {language: iterator of text}.

    Returns a list of (Speaker, path).
    """
    chapter = 1 + list(UTTERANCES).index(subset)
    spoken = []
    turns = list(itertools.product(SPEAKERS, range(utterances)))
    for speaker, number in tqdm(turns, desc=f"speaking {subset}", disable=None):
        path = f"{subset}/{speaker.number}/{chapter}/{speaker.number}-{chapter}-{number:04d}.flac"
        os.makedirs(os.path.join(folder, os.path.dirname(path)), exist_ok=True)
        text = next(sentences[speaker.voice[:2]])
        with whole_file(os.path.join(folder, path)) as partial:
            soundfile.write(os.fsencode(partial), speak(speaker, text), RATE)
        spoken.append((speaker, path))
    return spoken


def draw_pairs(spoken: Sequence[tuple[Speaker, str]], generator: np.random.Generator) -> list[tuple[str, str]]:
    """Pair every utterance with the next of a random ring, where that is another speaker's.

    Each is then in at most two mixtures, once as either source, and no pair occurs twice. Returns a list of pairs of
    paths.
    """
    ring = [spoken[number] for number in generator.permutation(len(spoken))]
    neighbours = zip(ring, ring[1:] + ring[:1], strict=True)
    return [(path, other_path) for (speaker, path), (other, other_path) in neighbours if speaker != other]


def draw_gains(sources: Sequence[np.ndarray], generator: np.random.Generator) -> np.ndarray:
    """Gains that bring each of two sources to a random loudness, lowered together where their sum would clip.

    Args:
        sources: two float arrays [T], 16 kHz, of any lengths.

    Returns the gains [2].
    """
    meter = pyloudnorm.Meter(RATE)
    loudness = np.array([meter.integrated_loudness(samples) for samples in sources])
    gains = 10 ** ((generator.uniform(*LOUDNESS, size=2) - loudness) / 20)
    mixture = np.zeros(max(map(len, sources)))
    for samples, gain in zip(sources, gains, strict=True):
        mixture[: len(samples)] += gain * samples
    return gains * min(1.0, LARGEST_SAMPLE / np.abs(mixture).max())


def write_metadata(path: str, folder: str, pairs: Sequence[tuple[str, str]], generator: np.random.Generator) -> None:
    """Write LibriMix's metadata of these pairs of files, with drawn gains; whole or not at all."""
    with whole_text(path) as file:
        rows = csv.writer(file)
        rows.writerow(["mixture_ID", "source_1_path", "source_1_gain", "source_2_path", "source_2_gain"])
        for pair in tqdm(pairs, desc=f"drawing {os.path.basename(path)}", disable=None):
            sources = [soundfile.read(os.path.join(folder, source))[0] for source in pair]
            gains = draw_gains(sources, generator)
            names = [os.path.splitext(os.path.basename(source))[0] for source in pair]
            rows.writerow(["_".join(names), pair[0], float(gains[0]), pair[1], float(gains[1])])


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
