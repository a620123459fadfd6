"""Writes the LibriMix tree itself, from LibriSpeech and LibriMix's metadata: `preprocess.py --generate` does it.

    DIR/Libri2Mix/wav8k/min/train-100/{mix_clean,s1,s2}/MIXTURE_ID.wav     (s3 and more in Libri3Mix and so on)
                                     /{noise,mix_both,mix_single}/         (where noise is given)

The samples are those of mixtures.py, rounded to 16 bits.
"""

import filecmp
import os
import shutil
from collections.abc import Sequence
from contextlib import closing
from functools import partial

import numpy as np
from tqdm import tqdm

from common.audio import AudioInfo, audio_info, write_wav
from common.errors import UserError
from common.files import make_folder, whole_file
from common.parallel import map_in_processes
from common.wording import print_line, printable
from corpus.bad_files import Part
from corpus.metadata import Metadata
from corpus.mixtures import Mixture

WAV_HEADER = 44  # bytes

Job = tuple[Mixture, int]  # and its samples


def rate_folder(sample_rate: int) -> str:
    """LibriMix's name for the files of a sample rate: wav8k for 8000 Hz."""
    return f"wav{sample_rate / 1000:g}k"


def generate(
    plans: dict[Metadata, list[Mixture]], out_dir: str, mode: str, sample_rate: int, part: Part
) -> dict[str, list[tuple[str, int]]]:
    """Write the LibriMix tree of all mixtures below `out_dir`; whole files that are already there are kept.

    Prints before it begins how many files there will be and how much disk they take.

    Args:
        plans: what `metadata.read_mixtures` returns.
        out_dir: folder for Libri2Mix and so on.
        mode: min or max.
        sample_rate: of the files, in Hz.
        part: that mixtures are left out of whose files are unfit.

    Returns {set's folder: list of (mixture's name, its samples)}. Raises UserError for whatever stands in the way.
    """
    folders = {
        metadata: os.path.join(out_dir, f"Libri{metadata.speakers}Mix", rate_folder(sample_rate), mode)
        for metadata in plans
    }
    jobs = {
        os.path.join(folders[metadata], metadata.set_name): [(m, m.samples(mode, sample_rate)) for m in mixtures]
        for metadata, mixtures in plans.items()
    }
    _require_room(jobs, out_dir)
    for metadata, folder in folders.items():
        _claim(metadata, folder)
    written = {folder: _write_set(set_jobs, folder, sample_rate, part) for folder, set_jobs in jobs.items()}
    return {folder: [(mixture.name, length) for mixture, length in done] for folder, done in written.items()}


def _require_room(jobs: dict[str, list[Job]], out_dir: str) -> None:
    """Print how much disk the files of all jobs take and how much is free; raise UserError if that is too little."""
    make_folder(out_dir)
    paths = {path: WAV_HEADER + 2 * length for folder, set_jobs in jobs.items() for mixture, length in set_jobs
             for path in _paths(folder, mixture).values()}  # fmt: skip
    there = sum(os.path.getsize(path) for path in paths if os.path.isfile(path))
    total, free = sum(paths.values()), shutil.disk_usage(out_dir).free
    print_line(f"{out_dir}: {len(paths)} files take {total / 1e9:.2f} GB, of which {there / 1e9:.2f} are there;"
          f" {free / 1e9:.0f} GB are free")  # fmt: skip
    if total - there > free:
        raise UserError(f"--generate {out_dir}: lacks {(total - there - free) / 1e9:.2f} GB of room; choose another"
                        " folder, or index without --generate, which takes none")  # fmt: skip


def _write_mixture(mixture: Mixture, length: int, folder: str, sample_rate: int) -> tuple[int, bool] | UserError:
    """Write the files of a mixture of so many samples that are not there yet, whole.

    Returns how many were written, and whether the mixture clipped; or a UserError that says which file is unfit.
    """
    paths = _paths(folder, mixture)
    missing = [name for name, path in paths.items() if not _is_whole(path, AudioInfo(length, sample_rate))]
    if not missing:
        return 0, False
    try:
        signals = every_signal(mixture, length, sample_rate)
    except UserError as error:
        return UserError(f"{mixture.name}: {error}")
    for name in missing:
        write_wav(paths[name], signals[name], sample_rate)
    return len(missing), any(np.abs(signals[name]).max() > 1 for name in missing)


def every_signal(mixture: Mixture, length: int, sample_rate: int) -> dict[str, np.ndarray]:
    """Compute every signal of a mixture of so many samples.

    Returns {folder name: float32 samples [T]} with s1, s2 ..., mix_clean and, where there is noise, noise, mix_both
    (all speakers and noise) and mix_single (first speaker and noise).
    """
    speakers, noise = mixture.read(sample_rate, 0, length)
    signals = {f"s{number}": samples for number, samples in enumerate(speakers, 1)} | {"mix_clean": sum(speakers)}
    if noise is not None:
        signals |= {"noise": noise, "mix_both": sum(speakers) + noise, "mix_single": speakers[0] + noise}
    return signals


def _paths(folder: str, mixture: Mixture) -> dict[str, str]:
    """{folder name: path} of a mixture's files."""
    return {name: os.path.join(folder, name, f"{mixture.name}.wav") for name in _folder_names(mixture)}


def _folder_names(mixture: Mixture) -> list[str]:
    speakers = [f"s{number}" for number in range(1, len(mixture.speakers) + 1)]
    return ["mix_clean", *speakers, *(["noise", "mix_both", "mix_single"] if mixture.noise else [])]


def _is_whole(path: str, expected: AudioInfo) -> bool:
    try:
        return audio_info(path) == expected
    except UserError:
        return False


def _claim(metadata: Metadata, folder: str) -> None:
    """Keep a copy of the metadata beside its set, so that a later run never mixes the mixtures of two."""
    set_folder = os.path.join(folder, metadata.set_name)
    copy = os.path.join(folder, "metadata", os.path.basename(metadata.path))
    if os.path.isdir(set_folder):
        if not (os.path.isfile(copy) and filecmp.cmp(metadata.path, copy, shallow=False)):
            raise UserError(f"{set_folder}: was not generated from {metadata.path}; remove it, or --generate elsewhere")
        return
    make_folder(os.path.dirname(copy))
    with whole_file(copy) as partial_copy:
        shutil.copyfile(metadata.path, partial_copy)


def _write_set(jobs: Sequence[Job], folder: str, sample_rate: int, part: Part) -> list[Job]:
    """Write the files of one set's jobs in as many processes as there are cores, and print what was done.

    Returns the jobs that were, or had been, done.
    """
    names = _folder_names(jobs[0][0])
    for name in names:
        make_folder(os.path.join(folder, name))
    write = partial(_write_mixture, folder=folder, sample_rate=sample_rate)
    written, whole, clipped = 0, [], []
    with closing(map_in_processes(write, jobs, most=len(jobs))) as results:
        results = tqdm(results, printable(os.path.basename(folder)), total=len(jobs), unit="mixture", disable=None)
        for job, result in zip(jobs, results, strict=True):
            if isinstance(result, UserError):
                part.leave_out(result)
                continue
            whole.append(job)
            written += result[0]
            if result[1]:
                clipped.append(job[0].name)
    print_line(f"{folder}: {len(whole)} mixtures, {written} files written, {len(whole) * len(names) - written} kept")
    if clipped:
        print_line(f"warning: {len(clipped)} mixtures of {folder} clip, {clipped[0]} first; their gains are too large")
    return whole
