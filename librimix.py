"""Writes the LibriMix tree itself, from LibriSpeech and LibriMix's metadata: `preprocess.py --generate` does it.

    DIR/Libri2Mix/wav8k/min/train-100/{mix_clean,s1,s2}/MIXTURE_ID.wav     (s3 and more in Libri3Mix and so on)
                                     /{noise,mix_both,mix_single}/         (where noise is given)

Each source is multiplied by its gain, resampled from 16 kHz by `scipy.signal.resample_poly`, cut to the shortest (min)
or zero-padded to the longest (max), and added. The noise is first cut or extended to the longest source, so it never
is the shortest, and the speakers' files come out the same with and without it. Format and arithmetic are those of
Cosentino et al. 2020, "LibriMix: An Open-Source Dataset for Generalizable Speech Separation", arXiv 2005.11262.
"""

import csv
import filecmp
import math
import multiprocessing
import os
import re
import shutil
import signal
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial

import numpy as np
import soundfile
from scipy.signal import resample_poly
from tqdm import tqdm

from audio import AudioInfo, audio_info, read_audio, write_wav
from errors import UserError
from files import whole_file

RATE = 16000  # of LibriSpeech and of the noise
FIT = {"min": min, "max": max}
CHUNK = 4  # mixtures handed to a process at once
METADATA_NAME = re.compile(r"libri([2-9])mix_(train-clean-100|train-clean-360|dev-clean|test-clean)\.csv")


@dataclass(frozen=True)
class Metadata:
    """A metadata file: `path`, its number of `speakers` and the `set_name` (train-100, dev ...) that it describes."""

    path: str
    speakers: int
    set_name: str


@dataclass(frozen=True)
class Track:
    """One voice or noise of a mixture: its file and the gain it is multiplied by."""

    path: str
    gain: float


@dataclass(frozen=True)
class Mixture:
    """A row of metadata. `where` names file and line for messages; `noise` is None for clean mixtures."""

    name: str
    where: str
    speakers: tuple[Track, ...]
    noise: Track | None


def list_folder(folder):
    """Names in a folder that are not hidden, sorted. Raises UserError if it cannot be listed."""
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError as error:
        raise UserError(f"{folder}: cannot be listed ({error.strerror}); give a folder that exists") from None


def make_folder(folder):
    """Make a folder and those above it. Raises UserError if that cannot be done."""
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror}); choose another folder") from None


def map_in_threads(function, items, label):
    """`[function(item) for item in items]` for functions that wait for files, in threads, with a progress bar."""
    with ThreadPoolExecutor(max_workers=16) as executor:
        return list(tqdm(executor.map(function, items), label, total=len(items), unit="file", disable=None))


def rate_folder(sample_rate):
    """LibriMix's name for the files of a sample rate: wav8k for 8000 Hz."""
    return f"wav{sample_rate / 1000:g}k"


def find_metadata(metadata_dir):
    """The metadata files in a folder or its sub-folders Libri2Mix, Libri3Mix ...; others (`*_info.csv`) are passed by.

    Returns a list of Metadata. Raises UserError if there is none, or two for one set.
    """
    names = list_folder(metadata_dir)
    below = [os.path.join(metadata_dir, name) for name in names if re.fullmatch(r"Libri[2-9]Mix", name)]
    found = {}
    for folder in (metadata_dir, *below):
        for name in list_folder(folder):
            if match := METADATA_NAME.fullmatch(name):
                path = os.path.join(folder, name)
                if name in found:
                    raise UserError(f"{path}: is also at {found[name].path}; give the folder of one of them")
                found[name] = Metadata(path, int(match[1]), match[2].replace("-clean", ""))
    if not found:
        raise UserError(f"{metadata_dir}: no metadata here; looked for libri2mix_train-clean-100.csv,"
                        " libri3mix_dev-clean.csv and the like, here and in Libri2Mix, Libri3Mix")  # fmt: skip
    return list(found.values())


def read_metadata(metadata, librispeech_dir, noise_dir):
    """Read the rows of a metadata file; paths in it start in `librispeech_dir` and `noise_dir` (None: no noise).

    Returns a list of Mixture. Raises UserError, naming file and line, for missing columns, gains that are no number,
    names that appear twice or cannot be file names, and noise that is not there.
    """
    tracks = [f"source_{speaker + 1}" for speaker in range(metadata.speakers)] + ["noise"] * (noise_dir is not None)
    columns = ["mixture_ID", *(f"{track}_{what}" for track in tracks for what in ("path", "gain"))]
    lines = {}
    mixtures = []
    for line, row in _read_rows(metadata.path, columns):
        where = f"{metadata.path}, line {line}"
        name = row["mixture_ID"]
        if not name or name != os.path.basename(name) or name.startswith("."):
            raise UserError(f"{where}: mixture_ID {name!r}: cannot be the name of a file; correct it")
        if name in lines:
            raise UserError(f"{where}: mixture_ID {name} is that of line {lines[name]} too; remove one of them")
        lines[name] = line
        speakers = tuple(_track(row, track, librispeech_dir, where) for track in tracks[: metadata.speakers])
        noise = _track(row, "noise", noise_dir, where) if noise_dir is not None else None
        if noise and not os.path.isfile(noise.path):
            raise UserError(f"{where}: {noise.path}: no such noise; give the folder that {row['noise_path']} starts in"
                            " as --noise-dir, or leave it out for clean mixtures")  # fmt: skip
        mixtures.append(Mixture(name, where, speakers, noise))
    if not mixtures:
        raise UserError(f"{metadata.path}: no mixtures, it has no line after its header")
    return mixtures


def _read_rows(path, columns):
    """[(line number, row as a dict)] of a csv file that must have these columns."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [column for column in columns if column not in (reader.fieldnames or [])]
            if missing:
                raise UserError(f"{path}: no column {', '.join(missing)}; expected LibriMix metadata")
            return [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read as csv ({error}); copy it again") from None


def _track(row, name, folder, where):
    path, gain = row[f"{name}_path"], row[f"{name}_gain"]
    if not path:
        raise UserError(f"{where}: {name}_path: is empty; the line is cut short, copy the file again")
    try:
        value = float(gain)
    except (TypeError, ValueError):
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise UserError(f"{where}: {name}_gain {gain}: must be a number above 0; copy the file again")
    return Track(os.path.join(folder, path), value)


def extend_noise(noise, length):
    """Repeat noise [frames] until it has `length` samples, joined as LibriMix joins it.

    Each join overlaps 8001 samples, where the halves of a one-second Hann window fade the end out and the start in.
    """
    fade_in = np.hanning(RATE + 1)[: RATE // 2 + 1]
    overlap = len(fade_in)
    extended = noise
    while len(extended) < length:
        join = extended[-overlap:] * fade_in[::-1] + noise[:overlap] * fade_in
        extended = np.concatenate((extended[:-overlap], join, noise[overlap:]))
    return extended[:length].astype(np.float32)


def _read_noise(path, length):
    """The first `length` samples at 16 kHz of a noise file's first channel, extended if it is shorter: float32."""
    try:
        samples, sample_rate = soundfile.read(path, stop=length, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise UserError(f"{path}: not an audio file that libsndfile can read ({error})") from None
    if sample_rate != RATE:
        raise UserError(f"{path}: {sample_rate} Hz, expected noise of {RATE} Hz; resample it")
    noise = samples[:, 0]  # [frames, channels] -> [frames]; WHAM's noise has two channels
    if len(noise) < length and len(noise) <= RATE // 2 + 1:
        raise UserError(f"{path}: {len(noise)} samples; noise must last over half a second to be extended")
    if not np.isfinite(noise).all():
        raise UserError(f"{path}: has NaN or infinite samples; repair or remove it")
    return extend_noise(noise, length)


def mix(mixture, mode, sample_rate):
    """Compute every signal of a mixture.

    Returns {folder name: float32 samples [T]} with s1, s2 ..., mix_clean and, where there is noise, noise, mix_both
    (all speakers and noise) and mix_single (first speaker and noise).
    """
    tracks = {f"s{number}": track for number, track in enumerate(mixture.speakers, 1)}
    signals = {name: read_audio(track.path, RATE) for name, track in tracks.items()}
    if mixture.noise:
        tracks["noise"] = mixture.noise
        signals["noise"] = _read_noise(mixture.noise.path, max(map(len, signals.values())))
    for name, track in tracks.items():
        signals[name] = resample_poly(signals[name] * np.float32(track.gain), sample_rate, RATE)
    length = FIT[mode](map(len, signals.values()))
    for name, samples in signals.items():
        signals[name] = np.pad(samples[:length], (0, max(0, length - len(samples))))
    mixes = {"mix_clean": sum(signals[name] for name in tracks if name != "noise")}
    if mixture.noise:
        mixes["mix_both"] = sum(signals.values())
        mixes["mix_single"] = signals["s1"] + signals["noise"]
    return signals | mixes


def _write_mixture(job, folder, mode, sample_rate):
    """Write the files of `job` (Mixture, its length) that are not there yet, whole.

    Returns how many were written, and the mixture's name if it clipped (else None).
    """
    mixture, length = job
    paths = {name: os.path.join(folder, name, f"{mixture.name}.wav") for name in _folder_names(mixture)}
    missing = [name for name, path in paths.items() if not _is_whole(path, AudioInfo(length, sample_rate))]
    if not missing:
        return 0, None
    try:
        signals = mix(mixture, mode, sample_rate)
    except UserError as error:
        raise UserError(f"{mixture.where}: {error}") from None
    for name in missing:
        write_wav(paths[name], signals[name], sample_rate)
    return len(missing), mixture.name if any(np.abs(signals[name]).max() > 1 for name in missing) else None


def _folder_names(mixture):
    speakers = [f"s{number}" for number in range(1, len(mixture.speakers) + 1)]
    return ["mix_clean", *speakers, *(["noise", "mix_both", "mix_single"] if mixture.noise else [])]


def _is_whole(path, expected):
    try:
        return audio_info(path) == expected
    except UserError:
        return False


def generate(librispeech_dir, metadata_dir, noise_dir, out_dir, mode, sample_rate):
    """Write the LibriMix tree of all metadata in `metadata_dir` below `out_dir`; whole files already there are kept.

    `noise_dir` None: clean mixtures only. `mode`: min or max. Everything is checked before anything is written.
    Returns the folders that hold the sets, one a number of speakers. Raises UserError for whatever stands in the way.
    """
    found = find_metadata(metadata_dir)
    plans = {metadata: read_metadata(metadata, librispeech_dir, noise_dir) for metadata in found}
    frames = _source_frames([mixture for mixtures in plans.values() for mixture in mixtures])
    folders = {
        metadata: os.path.join(out_dir, f"Libri{metadata.speakers}Mix", rate_folder(sample_rate), mode)
        for metadata in found
    }
    for metadata, folder in folders.items():
        _claim(metadata, folder)
    for metadata, mixtures in plans.items():
        jobs = []
        for mixture in mixtures:
            length = FIT[mode](frames[track.path] for track in mixture.speakers)
            jobs.append((mixture, AudioInfo(length, RATE).frames_at(sample_rate)))
        _write_set(jobs, os.path.join(folders[metadata], metadata.set_name), mode, sample_rate)
    return list(dict.fromkeys(folders.values()))


def _source_frames(mixtures):
    """{path: frames} of every source, from the headers."""
    wheres = {track.path: mixture.where for mixture in mixtures for track in mixture.speakers}

    def frames(path):
        try:
            info = audio_info(path)
        except UserError as error:
            raise UserError(f"{wheres[path]}: {error}; correct --librispeech-dir, or give a --metadata-dir"
                            " without this table") from None  # fmt: skip
        if info.sample_rate != RATE:
            raise UserError(f"{wheres[path]}: {path}: {info.sample_rate} Hz, LibriSpeech has {RATE} Hz; resample it")
        return info.frames

    return dict(zip(wheres, map_in_threads(frames, list(wheres), "sources"), strict=True))


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


def _write_set(jobs, folder, mode, sample_rate):
    """Write the files of one set's jobs in as many processes as there are cores, and say what was done."""
    names = _folder_names(jobs[0][0])
    for name in names:
        make_folder(os.path.join(folder, name))
    write = partial(_write_mixture, folder=folder, mode=mode, sample_rate=sample_rate)
    # Spawned, not forked: the caller may have threads. Ctrl-C is for the parent, which then cancels what is waiting.
    with ProcessPoolExecutor(
        max_workers=min(os.cpu_count(), -(-len(jobs) // CHUNK)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_IGN),
    ) as executor:
        try:
            done = executor.map(write, jobs, chunksize=CHUNK)
            results = list(tqdm(done, os.path.basename(folder), total=len(jobs), unit="mixture", disable=None))
        except BrokenProcessPool:
            raise UserError(f"{folder}: a process was killed, out of memory perhaps; run again, it goes on") from None
        finally:
            executor.shutdown(cancel_futures=True)
    written = sum(count for count, _ in results)
    print(f"{folder}: {len(jobs)} mixtures, {written} files written, {len(jobs) * len(names) - written} kept")
    clipped = [name for _, name in results if name]
    if clipped:
        print(f"warning: {len(clipped)} mixtures of {folder} clip, {clipped[0]} first; their gains are too large")
