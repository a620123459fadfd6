"""Makes the index that training and evaluation read, from LibriMix or from folders tr, cv, tt with mix, s1, s2.

    python preprocess.py --in-dir Libri2Mix/wav8k/min --out-dir data
    python preprocess.py --in-dir Libri2Mix --out-dir data --mix-type mix_both --train-name train.mindrecord

writes data/{tr,cv,tt}/{mix,s1,s2}.json, each a list of [path, samples at --sample-rate] in one order; with three
speakers s3.json too, and with mix_single s1.json only. LibriMix's train-100 and train-360 make tr, dev cv, test tt.
Sets that are not there are not written.

    python preprocess.py --librispeech-dir LibriSpeech --metadata-dir metadata/Libri2Mix --generate LibriMix
        [--noise-dir wham_noise] [--mode max] [--out-dir data]

writes the LibriMix tree itself, at --sample-rate, and with --out-dir indexes it. What is there already is kept, so an
interrupted run goes on when it is started again.
"""

import json
import os
import re
from dataclasses import dataclass

from audio import audio_info
from config import PREPARATION, parse, require_positive
from errors import UserError, run
from files import whole_file
from librimix import RATE, find_metadata, generate, list_folder, make_folder, map_in_threads, rate_folder

SETS = {"train-100": "tr", "train-360": "tr", "dev": "cv", "test": "tt", "tr": "tr", "cv": "cv", "tt": "tt"}
MIX_TYPES = PREPARATION["mix_type"]["choices"]


@dataclass(frozen=True)
class Utterance:
    """A mixture's file and those of its sources, in `paths`, and their `samples` at the index's rate."""

    name: str
    paths: tuple[str, ...]
    samples: int


def check_options(args):
    """Raise UserError for options that are wrong or do not go together."""
    require_positive(args, "sample_rate")
    if bool(args.in_dir) == bool(args.generate):
        raise UserError(
            "--in-dir, --generate: give one of them: a corpus to index, or a folder to generate LibriMix in"
        )
    if args.in_dir and not args.out_dir:
        raise UserError(f"--in-dir {args.in_dir}: needs --out-dir, the folder that the index goes into")
    for name in ("librispeech_dir", "metadata_dir"):
        if args.generate and not getattr(args, name):
            raise UserError(f"--generate {args.generate}: needs --{name.replace('_', '-')} too")
    for name in ("librispeech_dir", "metadata_dir", "noise_dir"):
        if getattr(args, name) and not args.generate:
            raise UserError(f"--{name.replace('_', '-')} {getattr(args, name)}: only --generate uses it; add that")
    if args.mode != PREPARATION["mode"]["default"] and not args.generate:
        raise UserError(f"--mode {args.mode}: only --generate uses it; to index max mode give its folder as --in-dir")
    for name in ("train_name", "test_name"):
        if getattr(args, name) and not args.out_dir:
            raise UserError(f"--{name} {getattr(args, name)}: needs --out-dir, whose index it is written from")
    if args.train_name and args.test_name and record_path(args, "train_name") == record_path(args, "test_name"):
        raise UserError(f"--train_name, --test_name {args.train_name}: are the same file; give two names")
    if args.generate:
        _check_generation(args)


def _check_generation(args):
    if args.sample_rate > RATE:
        raise UserError(f"--sample-rate {args.sample_rate}: LibriSpeech has {RATE} Hz; generate at that or below")
    for name in ("librispeech_dir", "metadata_dir", "noise_dir"):
        folder = getattr(args, name)
        if folder and not os.path.isdir(folder):
            raise UserError(f"--{name.replace('_', '-')} {folder}: no such folder")
    if args.mix_type != "mix_clean" and not args.out_dir:
        raise UserError(f"--mix-type {args.mix_type}: says what to index; add --out-dir, or leave it out")
    if args.mix_type != "mix_clean" and not args.noise_dir:
        raise UserError(f"--mix-type {args.mix_type}: has noise; add --noise-dir")
    speakers = sorted({metadata.speakers for metadata in find_metadata(args.metadata_dir)})
    if args.out_dir and len(speakers) > 1:
        raise UserError(
            f"--out-dir {args.out_dir}: an index holds one number of speakers, but {args.metadata_dir} has metadata of"
            f" {' and '.join(map(str, speakers))}; give one of its folders, or leave --out-dir out and index each"
            f" with --in-dir {os.path.join(args.generate, f'Libri{speakers[0]}Mix')}"
        )


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


def mixture_folder(set_folder, mix_type):
    """The name of the mixtures' folder in a set: `mix_type`, or `mix` where that stands for mix_clean."""
    there = [name for name in (*MIX_TYPES, "mix") if os.path.isdir(os.path.join(set_folder, name))]
    if mix_type in there:
        return mix_type
    if mix_type == "mix_clean" and "mix" in there:
        return "mix"
    raise UserError(f"{set_folder}: no folder {mix_type}; it has {', '.join(there) or 'no folder of mixtures'}")


def source_folders(set_folder, mix_type):
    """The names of the sources' folders in a set: s1, s2 ..., and only s1 for mix_single."""
    there = [name for name in list_folder(set_folder) if re.fullmatch(r"s\d+", name)]
    if mix_type == "mix_single" and "s1" in there:
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


def pair_files(set_folder, names):
    """Pair the files of a set's folders `names`, the mixtures' first, by utterance name.

    Returns {utterance name: paths}. Raises UserError, naming the file, where one has no partner.
    """
    mixtures, *sources = [audio_files(os.path.join(set_folder, name)) for name in names]
    for folder_name, files in zip(names[1:], sources, strict=True):
        for one, other, other_name in ((mixtures, files, folder_name), (files, mixtures, names[0])):
            if lonely := sorted(one.keys() - other.keys()):
                raise UserError(f"{one[lonely[0]]}: no file {lonely[0]} in {os.path.join(set_folder, other_name)};"
                                " add the one or remove the other")  # fmt: skip
    return {name: (mixtures[name], *(files[name] for files in sources)) for name in sorted(mixtures)}


def index_set(set_folder, names, sample_rate):
    """Index one set: its folders `names`, the mixtures' first.

    Returns a list of Utterance sorted by name, lengths at `sample_rate`, from the headers. Raises UserError, naming
    the file, for files without partner, of another rate or length, and for what is not mono audio.
    """
    pairs = pair_files(set_folder, names)
    paths = [path for group in pairs.values() for path in group]
    infos = dict(zip(paths, map_in_threads(audio_info, paths, os.path.basename(set_folder)), strict=True))
    expected = infos[paths[0]].sample_rate
    for path, info in infos.items():
        if info.sample_rate != expected:
            raise UserError(f"{path}: {info.sample_rate} Hz, but {paths[0]} has {expected}; a set has one rate")
    for mixture, *sources in pairs.values():
        for source in sources:
            if infos[source].frames != infos[mixture].frames:
                raise UserError(f"{source}: {infos[source].frames} samples, but its mixture {mixture} has"
                                f" {infos[mixture].frames}; they must be equal")  # fmt: skip
    if expected != sample_rate:
        print(
            f"{set_folder}: files of {expected} Hz, counted at {sample_rate} Hz, to which they are resampled when read"
        )
    return [Utterance(name, group, infos[group[0]].frames_at(sample_rate)) for name, group in pairs.items()]


def index_corpus(set_folders, mix_type, sample_rate):
    """Index every set. Returns {"tr", "cv", "tt": list of Utterance}; sets of one name are put together."""
    layouts = {folder: [mixture_folder(folder, mix_type), *source_folders(folder, mix_type)] for folder in set_folders}
    first = set_folders[0]
    for folder, names in layouts.items():
        if len(names) != len(layouts[first]):
            raise UserError(f"{folder}: has {len(names) - 1} sources, but {first} has {len(layouts[first]) - 1};"
                            " a corpus has one number of speakers")  # fmt: skip
    corpus = {}
    for folder, names in layouts.items():
        corpus.setdefault(SETS[os.path.basename(folder)], []).extend(index_set(folder, names, sample_rate))
    return {name: sorted(utterances, key=lambda utterance: utterance.name) for name, utterances in corpus.items()}


def write_index(folder, utterances):
    """Write mix.json, s1.json ... into a folder; each is written whole, and sources of an earlier index go."""
    make_folder(folder)
    names = ["mix", *(f"s{number}" for number in range(1, len(utterances[0].paths)))]
    for number, name in enumerate(names):
        with whole_file(os.path.join(folder, f"{name}.json")) as partial, open(partial, "w", encoding="utf-8") as file:
            json.dump([[utterance.paths[number], utterance.samples] for utterance in utterances], file)
    for name in list_folder(folder):
        if re.fullmatch(r"s\d+\.json", name) and os.path.splitext(name)[0] not in names:
            os.remove(os.path.join(folder, name))


def record_path(args, option):
    """Absolute path of the MindRecord file that --train_name or --test_name asks for; a bare name is in --out-dir."""
    name = getattr(args, option)
    return os.path.abspath(name if os.path.dirname(name) else os.path.join(args.out_dir, name))


def write_mindrecords(args, corpus):
    """Write the MindRecord files that --train_name and --test_name ask for."""
    for option, set_name in (("train_name", "tr"), ("test_name", "tt")):
        if getattr(args, option):
            from mindrecord import write_mindrecord  # imports MindSpore, which takes seconds

            path = record_path(args, option)
            make_folder(os.path.dirname(path))
            write_mindrecord(os.path.join(args.out_dir, set_name), path, args.sample_rate)
            print(f"{path}: {len(corpus[set_name])} utterances as MindRecord")


def print_summary(corpus, sample_rate):
    """Print mixtures, speakers, hours, shortest and longest of each set."""
    for name, utterances in corpus.items():
        seconds = [utterance.samples / sample_rate for utterance in utterances]
        speakers = len(utterances[0].paths) - 1
        print(f"{name}: {len(utterances)} mixtures of {speakers} speaker{'s' * (speakers > 1)},"
              f" {sum(seconds) / 3600:.2f} hours at {sample_rate} Hz,"
              f" shortest {min(seconds):.2f} s, longest {max(seconds):.2f} s")  # fmt: skip


def main(argv=None):
    args = parse(__doc__, "preparation", argv=argv)
    check_options(args)
    in_dir = args.in_dir
    if args.generate:
        in_dir = generate(
            args.librispeech_dir, args.metadata_dir, args.noise_dir, args.generate, args.mode, args.sample_rate
        )[0]
    if not args.out_dir:
        return
    set_folders = find_sets(in_dir, args.sample_rate)
    print(f"found {', '.join(os.path.basename(folder) for folder in set_folders)} in {os.path.dirname(set_folders[0])}")
    there = {SETS[os.path.basename(folder)] for folder in set_folders}
    for option, set_name in (("train_name", "tr"), ("test_name", "tt")):
        if getattr(args, option) and set_name not in there:
            raise UserError(f"--{option} {getattr(args, option)}: no set for it in {in_dir}; leave it out")
    corpus = index_corpus(set_folders, args.mix_type, args.sample_rate)
    for name, utterances in corpus.items():
        write_index(os.path.join(args.out_dir, name), utterances)
    write_mindrecords(args, corpus)
    print_summary(corpus, args.sample_rate)
    for name in sorted(set(SETS.values()) - corpus.keys()):
        if os.path.isdir(os.path.join(args.out_dir, name)):
            print(f"{name}: not in {in_dir}; {os.path.join(args.out_dir, name)} is left from an earlier index")


if __name__ == "__main__":
    run(main)
