"""Finds the sets of a corpus on disk, LibriMix's or folders tr, cv, tt, and which of its files belong together."""

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence

from common.audio import AudioInfo, audio_info, require_ratio
from common.errors import UserError
from common.files import list_folder
from common.parallel import map_in_threads
from common.wording import print_line
from corpus.bad_files import Part
from corpus.file_index import MixtureFiles
from corpus.generate import rate_folder
from corpus.mixtures import TASKS, Mixture

SETS = {"train-100": "tr", "train-360": "tr", "dev": "cv", "test": "tt", "tr": "tr", "cv": "cv", "tt": "tt"}


def find_sets(in_dir: str, sample_rate: int) -> list[str]:
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


def mixture_folder(set_folder: str, task: str) -> str:
    """The name of the folder of a task's mixtures in a set: LibriMix's, or `mix` where that stands for mix_clean."""
    there = [name for name in (*dict.fromkeys(TASKS.values()), "mix") if os.path.isdir(os.path.join(set_folder, name))]
    if TASKS[task] in there:
        return TASKS[task]
    if TASKS[task] == "mix_clean" and "mix" in there:
        return "mix"
    raise UserError(f"{set_folder}: no folder {TASKS[task]}; it has {', '.join(there) or 'no folder of mixtures'}")


def source_folders(set_folder: str, task: str) -> list[str]:
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


def audio_files(folder: str) -> dict[str, str]:
    """{name without ending: path} of the wav and flac files in a folder; hidden and other files are passed by.

    An accent may be written as a part of its letter or after it, as systems differ: the names are of the first form.
    """
    files = {}
    for file_name in list_folder(folder):
        name, ending = os.path.splitext(unicodedata.normalize("NFC", file_name))
        if ending.lower() in (".wav", ".flac"):
            path = os.path.join(folder, file_name)
            if name in files:
                raise UserError(f"{path}: has the name of {files[name]}; remove one of them")
            files[name] = path
    if not files:
        raise UserError(f"{folder}: no wav or flac files in it")
    return files


def pair_files(set_folder: str, names: Sequence[str], part: Part) -> dict[str, tuple[str, ...]]:
    """Put together the files of a set's folders `names`, the mixtures' first, that have one name.

    One that has no partner in some folder is left out of `part`. Returns {mixture's name: paths}.
    """
    folders = {name: audio_files(os.path.join(set_folder, name)) for name in names}
    groups = {}
    for mixture in sorted(set().union(*folders.values())):
        part.total += 1
        paths = {name: files[mixture] for name, files in folders.items() if mixture in files}
        if missing := [name for name in names if name not in paths]:
            part.leave_out(
                UserError(
                    f"{next(iter(paths.values()))}: no file {mixture} in {os.path.join(set_folder, missing[0])}; add"
                    " the one or remove the other"
                )
            )
        else:
            groups[mixture] = tuple(paths.values())
    return groups


def index_set(set_folder: str, names: Sequence[str], sample_rate: int, part: Part) -> list[MixtureFiles]:
    """Index one set: its folders `names`, the mixtures' first.

    Files without partner, of another rate or length, and what is not mono audio, are left out of `part`.

    Returns the mixtures sorted by name, their lengths at `sample_rate`, from the headers.
    """
    groups = pair_files(set_folder, names, part)
    paths = [path for group in groups.values() for path in group]
    headers = dict(zip(paths, map_in_threads(_header, paths, os.path.basename(set_folder)), strict=True))
    first = next((path for path in paths if not isinstance(headers[path], UserError)), None)
    if noted := [path for path in paths if not isinstance(headers[path], UserError) and headers[path].note]:
        print_line(
            f"{set_folder}: {len(noted)} files are to be looked at, such as {noted[0]}: {headers[noted[0]].note}"
        )
    mixtures = []
    for name, group in groups.items():
        with part.leaving_out():
            _require_alike(group, headers, first)
            mixtures.append(MixtureFiles(name, group, headers[group[0]].frames_at(sample_rate)))
    if not mixtures:
        raise UserError(f"{set_folder}: not one mixture of it can be used; --on_bad_file error says why")
    if (rate := headers[first].sample_rate) != sample_rate:
        require_ratio(first, rate, sample_rate)
        print_line(
            f"{set_folder}: files of {rate} Hz, resampled to {sample_rate} Hz at every reading, which takes many times"
            " as long as reading alone; --train_name and --test_name write sets that are resampled once"
        )
    return mixtures


def _header(path: str) -> AudioInfo | UserError:
    """What `audio_info` says of a file, or the UserError that it raises."""
    try:
        return audio_info(path)
    except UserError as error:
        return error


def _require_alike(group: Sequence[str], headers: dict[str, AudioInfo | UserError], first: str | None) -> None:
    """Raise UserError unless the files of a mixture are sound, of the rate of the set's first file, and as long."""
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


def index_corpus(set_folders: Sequence[str], task: str, sample_rate: int, part: Part) -> dict[str, list[MixtureFiles]]:
    """Index every set, as `index_set` does. Returns {"tr", "cv", "tt": mixtures}; sets of one name are put together."""
    layouts = {folder: [mixture_folder(folder, task), *source_folders(folder, task)] for folder in set_folders}
    first = set_folders[0]
    for folder, names in layouts.items():
        if len(names) != len(layouts[first]):
            raise UserError(f"{folder}: has {len(names) - 1} sources, but {first} has {len(layouts[first]) - 1};"
                            " a corpus has one number of them")  # fmt: skip
    corpus = {}
    for folder, names in layouts.items():
        corpus.setdefault(SETS[os.path.basename(folder)], []).extend(index_set(folder, names, sample_rate, part))
    return {name: one_of_each_name(mixtures, part) for name, mixtures in corpus.items()}


def one_of_each_name(mixtures: Iterable[MixtureFiles | Mixture], part: Part) -> list[MixtureFiles | Mixture]:
    """Mixtures sorted by name; the second of one name is left out of `part`."""
    named = {}
    for mixture in mixtures:
        if mixture.name in named:
            part.leave_out(UserError(f"{mixture.name}: is the name of two mixtures of one set; rename or remove one"))
        else:
            named[mixture.name] = mixture
    return [named[name] for name in sorted(named)]
