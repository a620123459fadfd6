"""Makes the index that training and evaluation read.

From LibriMix, or from folders tr, cv, tt with mix, s1, s2:

    python preprocess.py --in-dir Libri2Mix/wav8k/min --out-dir index
    python preprocess.py --in-dir Libri2Mix --out-dir index --task sep_noisy --train-name train.mindrecord

writes index/{tr,cv,tt}/{mix,s1,s2}.json, each a list of [path, samples at --sample-rate] in one order; with three
speakers s3.json too, for enhancement s1.json only. LibriMix's train-100 and train-360 make tr, dev cv, test tt. Sets
that are not there are not written.

From LibriSpeech and LibriMix's metadata:

    python preprocess.py --librispeech-dir LibriSpeech --metadata-dir metadata/Libri2Mix --out-dir index
        [--task sep_noisy --noise-dir wham_noise] [--mode max] [--sample-rate 16000]

writes index/{tr,cv,tt}/mixtures.json, which says how to mix (corpus/mixture_index.py has the format); the mixtures are
computed when they are read, and no audio is written.

    python preprocess.py --librispeech-dir LibriSpeech --metadata-dir metadata/Libri2Mix --generate LibriMix
        [--noise-dir wham_noise] [--mode max] [--out-dir index]

writes the LibriMix tree itself and, with --out-dir, indexes it. What is there already is kept, so an interrupted run
goes on when it is started again.
"""

from common.signals import end_at_signals

if __name__ == "__main__":
    end_at_signals()  # what follows takes seconds

import os
from argparse import Namespace
from collections.abc import Collection, Sequence

from common.command_line import parse, require_positive, require_rate
from common.errors import UserError, run
from common.files import make_folder
from common.wording import print_line
from config import PREPARATION
from corpus.bad_files import BadFiles, Part
from corpus.file_index import write_index
from corpus.folders import SETS, find_sets, index_corpus, one_of_each_name
from corpus.generate import generate
from corpus.loading import load_index
from corpus.metadata import Metadata, find_metadata, read_mixtures
from corpus.mixture_index import write_mixtures
from corpus.mixtures import RATE, Mixture
from corpus.names import require_utf8, speaker_ids
from corpus.sums import require_sums

FROM_METADATA = ("librispeech_dir", "metadata_dir", "noise_dir")


def check_options(args: Namespace) -> None:
    """Raise UserError for options that are wrong or do not go together."""
    require_positive(args, "shards")
    require_rate(args)
    if bool(args.in_dir) == bool(args.metadata_dir or args.librispeech_dir):
        raise UserError(
            "--in-dir, --metadata-dir: give a corpus to index as --in-dir, or --librispeech-dir and --metadata-dir to"
            " mix LibriSpeech"
        )
    if not args.out_dir and not args.generate:
        raise UserError("--out-dir: give the folder that the index goes into")
    for name in ("train_name", "test_name"):
        if getattr(args, name) and not args.out_dir:
            raise UserError(f"--{name} {getattr(args, name)}: needs --out-dir, whose index it is written from")
    paths = [record_path(args, name) for name in ("train_name", "test_name") if getattr(args, name)]
    if len(set(paths)) < len(paths):
        raise UserError(f"--train_name, --test_name {args.train_name}: are the same file; give two names")
    if args.shards > 1 and not (args.train_name or args.test_name):
        raise UserError(f"--shards {args.shards}: only --train_name and --test_name use it; add one of them")
    if args.in_dir:
        for name in ("noise_dir", "generate"):
            if getattr(args, name):
                raise UserError(f"--{name.replace('_', '-')} {getattr(args, name)}: only --metadata-dir uses it; leave"
                                " it out, or give that in place of --in-dir")  # fmt: skip
        if args.mode != PREPARATION["mode"]["default"]:
            raise UserError(f"--mode {args.mode}: only --metadata-dir uses it; to index max mode give its folder as"
                            " --in-dir")  # fmt: skip
    else:
        _check_mixing(args)


def _check_mixing(args: Namespace) -> None:
    if args.sample_rate > RATE:
        raise UserError(f"--sample-rate {args.sample_rate}: LibriSpeech has {RATE} Hz; mix at that or below")
    for name in FROM_METADATA:
        folder = getattr(args, name)
        if not folder and name != "noise_dir":
            raise UserError(f"--{name.replace('_', '-')}: is missing; LibriSpeech is mixed from both")
        if folder and not os.path.isdir(folder):
            raise UserError(f"--{name.replace('_', '-')} {folder}: no such folder")
    if args.check != PREPARATION["check"]["default"] and not (args.generate and args.out_dir):
        raise UserError(f"--check {args.check}: mixtures are not computed before they are read; leave it out")
    if args.task != "sep_clean" and not args.out_dir:
        raise UserError(f"--task {args.task}: says what to index; add --out-dir, or leave it out")
    if args.task != "sep_clean" and not args.noise_dir:
        raise UserError(f"--task {args.task}: has noise; add --noise-dir")
    if args.task == "sep_clean" and args.noise_dir and not args.generate:
        raise UserError(f"--noise-dir {args.noise_dir}: sep_clean has no noise; leave it out, or choose another --task")
    speakers = sorted({metadata.speakers for metadata in find_metadata(args.metadata_dir)})
    if args.out_dir and len(speakers) > 1:
        raise UserError(
            f"--out-dir {args.out_dir}: an index holds one number of speakers, but {args.metadata_dir} has metadata of"
            f" {' and '.join(map(str, speakers))}; give one of its folders, or --generate without --out-dir"
        )


def index_tree(args: Namespace, in_dir: str, bad_files: BadFiles) -> dict[str, list[tuple[str, int]]]:
    """Index the files of a corpus. Returns {set name: list of (mixture's name, its samples)}."""
    set_folders = find_sets(in_dir, args.sample_rate)
    print_line(
        f"found {', '.join(os.path.basename(folder) for folder in set_folders)} in {os.path.dirname(set_folders[0])}"
    )
    _require_sets(args, {SETS[os.path.basename(folder)] for folder in set_folders}, in_dir)
    with bad_files.part() as part:
        corpus = index_corpus(set_folders, args.task, args.sample_rate, part)
        corpus = {name: require_sums(mixtures, args.task, args.check, part) for name, mixtures in corpus.items()}
    for name, mixtures in corpus.items():
        write_index(os.path.join(args.out_dir, name), mixtures)
    return {name: [(mixture.name, mixture.samples) for mixture in mixtures] for name, mixtures in corpus.items()}


def index_mixtures(
    args: Namespace, plans: dict[Metadata, list[Mixture]], part: Part
) -> dict[str, list[tuple[str, int]]]:
    """Index mixtures that are to be computed when they are read. Returns what `index_tree` does."""
    corpus = {}
    for metadata, mixtures in plans.items():
        corpus.setdefault(SETS[metadata.set_name], []).extend(mixtures)
    _require_sets(args, corpus, args.metadata_dir)
    corpus = {name: one_of_each_name(mixtures, part) for name, mixtures in corpus.items()}
    part.require_few()
    for name, mixtures in corpus.items():
        folder = os.path.join(args.out_dir, name)
        noise_dir = None if args.task == "sep_clean" else args.noise_dir
        write_mixtures(folder, mixtures, args.task, args.mode, args.sample_rate, args.librispeech_dir, noise_dir)
    return {
        name: [(mixture.name, mixture.samples(args.mode, args.sample_rate)) for mixture in mixtures]
        for name, mixtures in corpus.items()
    }


def _require_sets(args: Namespace, there: Collection[str], where: str) -> None:
    for option, set_name in (("train_name", "tr"), ("test_name", "tt")):
        if getattr(args, option) and set_name not in there:
            raise UserError(f"--{option} {getattr(args, option)}: no set for it in {where}; leave it out")


def record_path(args: Namespace, option: str) -> str:
    """Absolute path of the MindRecord file that --train_name or --test_name asks for; a bare name is in --out-dir."""
    name = getattr(args, option)
    path = os.path.abspath(name if os.path.dirname(name) else os.path.join(args.out_dir, name))
    require_utf8(path)
    return path


def write_mindrecords(args: Namespace, bad_files: BadFiles) -> None:
    """Write the MindRecord files that --train_name and --test_name ask for."""
    for option, set_name in (("train_name", "tr"), ("test_name", "tt")):
        if getattr(args, option):
            from corpus.mindrecord import write_mindrecord  # imports MindSpore, which takes seconds

            path = record_path(args, option)
            make_folder(os.path.dirname(path))
            index = load_index(os.path.join(args.out_dir, set_name), args.sample_rate)
            written = write_mindrecord(index, path, args.shards, bad_files)
            print_line(f"{path}: {written} MindRecord files written, {args.shards - written} kept")


def print_summary(made: dict[str, list[tuple[str, int]]], sample_rate: int, bad_files: BadFiles) -> None:
    """Print mixtures, speakers, hours, shortest and longest of each set, and how many were skipped.

    `made`: {set name: list of (mixture's name, its samples)}. LibriMix's names tell who speaks.
    """
    for set_name, mixtures in made.items():
        seconds = [samples / sample_rate for _, samples in mixtures]
        speakers = {speaker for name, _ in mixtures for speaker in speaker_ids(name)}
        print(f"{set_name}: {len(seconds)} mixtures{f' of {len(speakers)} speakers' if speakers else ''},"
              f" {sum(seconds) / 3600:.2f} hours at {sample_rate} Hz, shortest {min(seconds):.2f} s,"
              f" longest {max(seconds):.2f} s")  # fmt: skip
    listed = f", see {bad_files.path}" if bad_files.skipped else ""
    print_line(f"skipped: {bad_files.skipped} mixtures{listed}")


def main(argv: Sequence[str] | None = None) -> None:
    args = parse(__doc__, "preparation", argv=argv)
    check_options(args)
    bad_files = BadFiles(args.on_bad_file, os.path.join(args.out_dir or args.generate, "bad_files.txt"))
    if args.in_dir:
        made = index_tree(args, args.in_dir, bad_files)
    else:
        noise_dir = args.noise_dir if args.generate or args.task != "sep_clean" else None
        with bad_files.part() as part:
            look = bool(args.generate)
            plans = read_mixtures(args.metadata_dir, args.librispeech_dir, noise_dir, part, look)
            part.require_few()
            if args.generate:
                made = generate(plans, args.generate, args.mode, args.sample_rate, part)
            else:
                made = index_mixtures(args, plans, part)
        if args.generate and args.out_dir:
            made = index_tree(args, os.path.dirname(next(iter(made))), bad_files)
    if args.out_dir:
        write_mindrecords(args, bad_files)
        for name in sorted(set(SETS.values()) - made.keys()):
            if os.path.isdir(folder := os.path.join(args.out_dir, name)):
                print_line(f"{name}: not in {args.in_dir or args.metadata_dir}; {folder} is left from an earlier index")
    print_summary(made, args.sample_rate, bad_files)


if __name__ == "__main__":
    run(main)
