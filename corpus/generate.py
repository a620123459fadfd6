"""Writes the LibriMix tree itself, from LibriSpeech and LibriMix's metadata: `preprocess.py --generate` does it.

    DIR/Libri2Mix/wav8k/min/train-100/{mix_clean,s1,s2}/MIXTURE_ID.wav     (s3 and more in Libri3Mix and so on)
                                     /{noise,mix_both,mix_single}/         (where noise is given)

The samples are those of mixtures.py, rounded to 16 bits.
"""

import filecmp
import multiprocessing
import os
import shutil
import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial

import numpy as np
from tqdm import tqdm

from common.audio import AudioInfo, audio_info, write_wav
from common.errors import UserError
from common.files import make_folder, whole_file

CHUNK = 4  # mixtures handed to a process at once
WAV_HEADER = 44  # bytes


def rate_folder(sample_rate):
    """LibriMix's name for the files of a sample rate: wav8k for 8000 Hz."""
    return f"wav{sample_rate / 1000:g}k"


def generate(plans, out_dir, mode, sample_rate, bad_files):
    """Write the LibriMix tree of all mixtures below `out_dir`; whole files that are already there are kept.

    Says before it begins how many files there will be and how much disk they take.

    Args:
        plans: {Metadata: list of Mixture}, of `metadata.read_mixtures`.
        out_dir: folder for Libri2Mix and so on.
        mode: min or max.
        sample_rate: of the files, in Hz.
        bad_files: BadFiles.

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
    written = {folder: _write_set(set_jobs, folder, sample_rate, bad_files) for folder, set_jobs in jobs.items()}
    return {folder: [(mixture.name, length) for mixture, length in done] for folder, done in written.items()}


def _require_room(jobs, out_dir):
    """Say how much disk the files of all jobs take and how much is free; raise UserError if that is too little."""
    make_folder(out_dir)
    paths = {path: WAV_HEADER + 2 * length for folder, set_jobs in jobs.items() for mixture, length in set_jobs
             for path in _paths(folder, mixture).values()}  # fmt: skip
    there = sum(os.path.getsize(path) for path in paths if os.path.isfile(path))
    total, free = sum(paths.values()), shutil.disk_usage(out_dir).free
    print(f"{out_dir}: {len(paths)} files take {total / 1e9:.2f} GB, of which {there / 1e9:.2f} are there;"
          f" {free / 1e9:.0f} GB are free")  # fmt: skip
    if total - there > free:
        raise UserError(f"--generate {out_dir}: lacks {(total - there - free) / 1e9:.2f} GB of room; choose another"
                        " folder, or index without --generate, which takes none")  # fmt: skip


def _write_mixture(job, folder, sample_rate):
    """Write the files of `job` (Mixture, its length) that are not there yet, whole.

    Returns how many were written, and whether the mixture clipped; or a UserError that says which file is unfit.
    """
    mixture, length = job
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


def every_signal(mixture, length, sample_rate):
    """Compute every signal of a mixture of so many samples.

    Returns {folder name: float32 samples [T]} with s1, s2 ..., mix_clean and, where there is noise, noise, mix_both
    (all speakers and noise) and mix_single (first speaker and noise).
    """
    speakers, noise = mixture.read(sample_rate, 0, length)
    signals = {f"s{number}": samples for number, samples in enumerate(speakers, 1)} | {"mix_clean": sum(speakers)}
    if noise is not None:
        signals |= {"noise": noise, "mix_both": sum(speakers) + noise, "mix_single": speakers[0] + noise}
    return signals


def _paths(folder, mixture):
    """{folder name: path} of a mixture's files."""
    return {name: os.path.join(folder, name, f"{mixture.name}.wav") for name in _folder_names(mixture)}


def _folder_names(mixture):
    speakers = [f"s{number}" for number in range(1, len(mixture.speakers) + 1)]
    return ["mix_clean", *speakers, *(["noise", "mix_both", "mix_single"] if mixture.noise else [])]


def _is_whole(path, expected):
    try:
        return audio_info(path) == expected
    except UserError:
        return False


def _claim(metadata, folder):
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


def _write_set(jobs, folder, sample_rate, bad_files):
    """Write the files of one set's jobs in as many processes as there are cores, and say what was done.

    Returns the jobs that were, or had been, done.
    """
    names = _folder_names(jobs[0][0])
    for name in names:
        make_folder(os.path.join(folder, name))
    write = partial(_write_mixture, folder=folder, sample_rate=sample_rate)
    # Spawned, not forked: the caller may have threads. Ctrl-C is for the parent, which then cancels what is waiting.
    with ProcessPoolExecutor(
        max_workers=min(os.cpu_count(), -(-len(jobs) // CHUNK)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_IGN),
    ) as executor:
        written, whole, clipped = 0, [], []
        try:
            done = executor.map(write, jobs, chunksize=CHUNK)
            done = tqdm(done, os.path.basename(folder), total=len(jobs), unit="mixture", disable=None)
            for job, result in zip(jobs, done, strict=True):
                if isinstance(result, UserError):
                    bad_files.skip(result)
                    continue
                whole.append(job)
                written += result[0]
                if result[1]:
                    clipped.append(job[0].name)
        except BrokenProcessPool:
            raise UserError(f"{folder}: a process was killed, out of memory perhaps; run again, it goes on") from None
        finally:
            executor.shutdown(cancel_futures=True)
    print(f"{folder}: {len(whole)} mixtures, {written} files written, {len(whole) * len(names) - written} kept")
    if clipped:
        print(f"warning: {len(clipped)} mixtures of {folder} clip, {clipped[0]} first; their gains are too large")
    return whole
