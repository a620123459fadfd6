"""Finds the sets of a corpus on disk, LibriMix's or folders tr, cv, tt, and which of its files belong together."""

import os
import re
from dataclasses import dataclass

from common.audio import audio_info
from common.errors import UserError
from common.files import list_folder
from common.parallel import map_in_threads
from corpus.generate import rate_folder
from corpus.mixtures import TASKS

SETS = {"train-100": "tr", "train-360": "tr", "dev": "cv", "test": "tt", "tr": "tr", "cv": "cv", "tt": "tt"}


@dataclass(frozen=True)
class Utterance:
    """A mixture's file and those of its sources, in `paths`, and their `samples` at the index's rate."""

    name: str
    paths: tuple[str, ...]
    samples: int


def find_sets(in_dir, sample_rate):
    """Find the folders of the sets (train-100, dev, tr ...) below any level of a corpus.

    Among folders of several rates (wav8k, wav16k) the one of `sample_rate` is taken.

    Returns their paths. Raises UserError if there are none, or several trees that could be meant.
    """
    folder = os.path.abspath(in_dir)
    if os.path.basename(folder) in SETS and os.path.isdir(os.path.join(folder, "s1")):
        return [folder]
    while not (sets := [path for name in SETS if os.path.isdir(path := os.path.join(folder, name))]):
        levels = [
            name for name in list_folder(folder) if re.fullmatch(r"Libri\dMix|\dspeakers|wav[\d.]+k|min|max", name)
        ]
        if rate_folder(sample_rate) in levels:
            levels = [rate_folder(sample_rate)]
        if not levels:
            raise UserError(
                f"{folder}: no corpus here; looked for the sets {', '.join(SETS)}, and for Libri2Mix, Libri3Mix,"
                " wav8k, wav16k, min and max above them; give such a folder as --in-dir"
            )
        if len(levels) > 1:
            raise UserError(
                f"{folder}: has {', '.join(levels)}; say which, as in --in-dir {os.path.join(folder, levels[0])}"
            )
        folder = os.path.join(folder, levels[0])
    return sets


def mixture_folder(set_folder, task):
    """The name of the folder of a task's mixtures in a set: LibriMix's, or `mix` where that stands for mix_clean."""
    there = [name for name in (*dict.fromkeys(TASKS.values()), "mix") if os.path.isdir(os.path.join(set_folder, name))]
    if TASKS[task] in there:
        return TASKS[task]
    if TASKS[task] == "mix_clean" and "mix" in there:
        return "mix"
    raise UserError(f"{set_folder}: no folder {TASKS[task]}; it has {', '.join(there) or 'no folder of mixtures'}")


def source_folders(set_folder, task):
    """The names of the folders of a task's sources in a set: s1, s2 ..., only s1, or mix_clean."""
    if task == "enh_both":
        return [mixture_folder(set_folder, "sep_clean")]
    there = [name for name in list_folder(set_folder) if re.fullmatch(r"s\d+", name)]
    if task == "enh_single" and "s1" in there:
        return ["s1"]
    expected = [f"s{number + 1}" for number in range(max(2, len(there)))]
    if missing := [name for name in expected if name not in there]:
        raise UserError(f"{set_folder}: no folder {missing[0]}; it has {', '.join(there) or 'no folder of sources'}")
    return expected


def audio_files(folder):
    """{utterance name: path} of the wav and flac files in a folder; hidden and other files are passed by."""
    files = {}
    for file_name in list_folder(folder):
        name, ending = os.path.splitext(file_name)
        if ending.lower() in (".wav", ".flac"):
            path = os.path.join(folder, file_name)
            if name in files:
                raise UserError(f"{path}: has the name of {files[name]}; remove one of them")
            files[name] = path
    if not files:
        raise UserError(f"{folder}: no wav or flac files in it")
    return files


def pair_files(set_folder, names, bad_files):
    """Pair the files of a set's folders `names`, the mixtures' first, by utterance name.

    One that has no partner somewhere goes to `bad_files` (BadFiles). Returns {utterance name: paths}.
    """
    folders = {name: audio_files(os.path.join(set_folder, name)) for name in names}
    pairs = {}
    for utterance in sorted(set().union(*folders.values())):
        bad_files.total += 1
        paths = {name: files[utterance] for name, files in folders.items() if utterance in files}
        if missing := [name for name in names if name not in paths]:
            bad_files.skip(
                UserError(
                    f"{next(iter(paths.values()))}: no file {utterance} in {os.path.join(set_folder, missing[0])}; add"
                    " the one or remove the other"
                )
            )
        else:
            pairs[utterance] = tuple(paths.values())
    return pairs


def index_set(set_folder, names, sample_rate, bad_files):
    """Index one set: its folders `names`, the mixtures' first.

    Files without partner, of another rate or length, and what is not mono audio, go to `bad_files` (BadFiles).

    Returns a list of Utterance sorted by name, lengths at `sample_rate`, from the headers.
    """
    pairs = pair_files(set_folder, names, bad_files)
    paths = [path for group in pairs.values() for path in group]
    headers = dict(zip(paths, map_in_threads(_header, paths, os.path.basename(set_folder)), strict=True))
    first = next((path for path in paths if not isinstance(headers[path], UserError)), None)
    utterances = []
    for name, group in pairs.items():
        try:
            _require_alike(group, headers, first)
            utterances.append(Utterance(name, group, headers[group[0]].frames_at(sample_rate)))
        except UserError as error:
            bad_files.skip(error)
    if not utterances:
        raise UserError(f"{set_folder}: not one mixture of it can be used; --on_bad_file error says why")
    if (rate := headers[first].sample_rate) != sample_rate:
        print(f"{set_folder}: files of {rate} Hz, counted at {sample_rate} Hz, to which they are resampled when read")
    return utterances


def _header(path):
    """What `audio_info` says of a file, or the UserError that it raises."""
    try:
        return audio_info(path)
    except UserError as error:
        return error


def _require_alike(group, headers, first):
    """Raise UserError unless the files of an utterance are sound, of the rate of the set's first file, and as long."""
    mixture = group[0]
    for path in group:
        if isinstance(headers[path], UserError):
            raise headers[path]
        if headers[path].sample_rate != headers[first].sample_rate:
            raise UserError(f"{path}: {headers[path].sample_rate} Hz, but {first} has {headers[first].sample_rate};"
                            " a set has one rate")  # fmt: skip
        if headers[path].frames != headers[mixture].frames:
            raise UserError(f"{path}: {headers[path].frames} samples, but its mixture {mixture} has"
                            f" {headers[mixture].frames}; they must be equal")  # fmt: skip


def index_corpus(set_folders, task, sample_rate, bad_files):
    """Index every set. Returns {"tr", "cv", "tt": list of Utterance}; sets of one name are put together."""
    layouts = {folder: [mixture_folder(folder, task), *source_folders(folder, task)] for folder in set_folders}
    first = set_folders[0]
    for folder, names in layouts.items():
        if len(names) != len(layouts[first]):
            raise UserError(f"{folder}: has {len(names) - 1} sources, but {first} has {len(layouts[first]) - 1};"
                            " a corpus has one number of speakers")  # fmt: skip
    corpus = {}
    for folder, names in layouts.items():
        corpus.setdefault(SETS[os.path.basename(folder)], []).extend(index_set(folder, names, sample_rate, bad_files))
    return {name: one_of_each_name(utterances, bad_files) for name, utterances in corpus.items()}


def one_of_each_name(mixtures, bad_files):
    """Mixtures sorted by name; the second of one name goes to `bad_files`."""
    named = {}
    for mixture in mixtures:
        if mixture.name in named:
            bad_files.skip(UserError(f"{mixture.name}: is the name of two mixtures of one set; rename or remove one"))
        else:
            named[mixture.name] = mixture
    return [named[name] for name in sorted(named)]
