"""LibriMix's metadata: which utterances and noises make which mixture, with which gains, and how long they are.

A metadata file, such as libri2mix_train-clean-100.csv, has the columns mixture_ID, source_1_path, source_1_gain and so
on, noise_path and noise_gain. Lengths are in LibriMix's metadata of LibriSpeech, such as train-clean-100.csv, in the
columns origin_path and length; where those are missing, the headers of the files are read.
"""

import csv
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from common.audio import audio_info
from common.errors import UserError
from common.files import list_folder
from common.parallel import map_in_threads
from common.wording import print_line
from corpus.bad_files import Part
from corpus.mixtures import GAINS, RATE, Mixture, Track, noise_info
from corpus.names import speaker_of

METADATA_NAME = re.compile(r"libri([2-9])mix_(train-clean-100|train-clean-360|dev-clean|test-clean)\.csv")
LENGTHS_NAME = re.compile(r"(train|dev|test)-(clean|other)(-\d+)?\.csv")


@dataclass(frozen=True)
class Metadata:
    """A metadata file: `path`, its number of `speakers` and the `set_name` (train-100, dev ...) that it describes."""

    path: str
    speakers: int
    set_name: str


def find_metadata(metadata_dir: str) -> list[Metadata]:
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
                        " libri3mix_dev-clean.csv and so on, here and in Libri2Mix, Libri3Mix")  # fmt: skip
    return list(found.values())


def read_mixtures(
    metadata_dir: str, librispeech_dir: str, noise_dir: str | None, part: Part, look: bool = False
) -> dict[Metadata, list[Mixture]]:
    """Read all metadata in a folder.

    A table whose part of LibriSpeech is not there at all, such as train-clean-360, is left out, and a line says so.
    Another line says where the lengths of the files come from.

    Args:
        metadata_dir: see `find_metadata`.
        librispeech_dir, noise_dir: where the paths in the metadata start; None: no noise.
        part: that rows are left out of which are wrong, or whose files are.
        look: open every audio file even where LibriMix's metadata of LibriSpeech have the lengths.

    Raises UserError if a metadata file is unfit.
    """
    tables = [metadata for metadata in find_metadata(metadata_dir) if _has_speech(metadata, librispeech_dir)]
    if not tables:
        raise UserError(f"--librispeech-dir {librispeech_dir}: has none of the folders that the paths in {metadata_dir}"
                        " begin with, such as train-clean-100; give the folder that holds them")  # fmt: skip
    rows = {metadata: _read_metadata(metadata, librispeech_dir, noise_dir, part) for metadata in tables}
    tracks = (track for mixtures in rows.values() for _, mixture in mixtures for track in mixture.speakers)
    paths = list(dict.fromkeys(track.path for track in tracks))
    known = {} if look else _known_lengths(metadata_dir, librispeech_dir)
    frames = _frames(paths, known)
    complete = partial(_complete, frames=frames, look=not known)
    found = {}
    for metadata, mixtures in rows.items():
        results = map_in_threads(complete, [mixture for _, mixture in mixtures], metadata.set_name)
        for (where, _), result in zip(mixtures, results, strict=True):
            if isinstance(result, UserError):
                part.leave_out(UserError(f"{where}: {result}"))
        found[metadata] = [result for result in results if isinstance(result, Mixture)]
        if not found[metadata]:
            raise UserError(f"{metadata.path}: no mixtures, it has no usable line after its header")
    return found


def _has_speech(metadata: Metadata, librispeech_dir: str) -> bool:
    """Whether a folder that the paths of a metadata file begin with is there; prints a line if not."""
    paths = [row["source_1_path"] or "" for _, row in _read_rows(metadata.path, ["source_1_path"])]
    folders = sorted({path.partition("/")[0] for path in paths})
    if not folders or any(os.path.exists(os.path.join(librispeech_dir, folder)) for folder in folders):
        return True
    print_line(f"{metadata.path}: left out, {librispeech_dir} has no folder {', '.join(folders)[:80]}")
    return False


def _read_metadata(
    metadata: Metadata, librispeech_dir: str, noise_dir: str | None, part: Part
) -> list[tuple[str, Mixture]]:
    """Read the rows of a metadata file. Returns a list of (file and line, Mixture)."""
    tracks = [f"source_{speaker + 1}" for speaker in range(metadata.speakers)] + ["noise"] * (noise_dir is not None)
    columns = ["mixture_ID", *(f"{track}_{what}" for track in tracks for what in ("path", "gain"))]
    lines, mixtures = {}, []
    for line, row in _read_rows(metadata.path, columns):
        part.total += 1
        where = f"{metadata.path}, line {line}"
        with part.leaving_out():
            name = row["mixture_ID"]
            if not name or name != os.path.basename(name) or name.startswith("."):
                raise UserError(f"{where}: mixture_ID {name!r}: cannot be the name of a file; correct it")
            if name in lines:
                raise UserError(f"{where}: mixture_ID {name} is that of line {lines[name]} too; remove one of them")
            lines[name] = line
            speakers = tuple(_track(row, track, librispeech_dir, where) for track in tracks[: metadata.speakers])
            heard = [speaker_of(track.path) or track.path for track in speakers]
            if len(set(heard)) < len(heard):
                found = ", ".join(os.path.basename(track.path) for track in speakers)
                raise UserError(f"{where}: has one speaker twice, {found}; remove the line")
            noise = _track(row, "noise", noise_dir, where) if noise_dir is not None else None
            if noise and not os.path.isfile(noise.path):
                raise UserError(
                    f"{where}: {noise.path}: no such noise; give the folder that {row['noise_path']} starts in as"
                    " --noise-dir, or leave it out for clean mixtures"
                )
            mixtures.append((where, Mixture(name, speakers, noise)))
    return mixtures


def _read_rows(path: str, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
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


def _track(row: dict[str, str], name: str, folder: str, where: str) -> Track:
    """The path, below `folder`, and the gain of a voice or noise in a row of metadata."""
    path, gain = row[f"{name}_path"], row[f"{name}_gain"]
    if not path:
        raise UserError(f"{where}: {name}_path: is empty; the line is cut short, copy the file again")
    try:
        value = float(gain)
    except (TypeError, ValueError):
        value = math.nan
    lowest, highest = GAINS
    if not lowest <= value <= highest:
        raise UserError(
            f"{where}: {name}_gain {gain}: must be a number from {lowest:g} to {highest:g}; copy the file again"
        )
    return Track(os.path.join(folder, path), value)


def _known_lengths(metadata_dir: str, librispeech_dir: str) -> dict[str, int]:
    """{path: samples} of LibriMix's metadata of LibriSpeech, from wherever LibriMix has it; empty if nowhere."""
    places = [os.path.join(metadata_dir, "LibriSpeech"), os.path.join(metadata_dir, os.pardir, "LibriSpeech")]
    for folder in (*places, os.path.join(librispeech_dir, "metadata")):
        names = [name for name in list_folder(folder) if LENGTHS_NAME.fullmatch(name)] if os.path.isdir(folder) else []
        lengths = {}
        for table in (os.path.join(folder, name) for name in names):
            for line, row in _read_rows(table, ["origin_path", "length"]):
                if not re.fullmatch(r"[1-9]\d*", row["length"] or ""):
                    raise UserError(f"{table}, line {line}: length {row['length']}: must be samples; copy it again")
                lengths[os.path.join(librispeech_dir, row["origin_path"])] = int(row["length"])
        if lengths:
            print_line(f"lengths: from {', '.join(names)} in {os.path.normpath(folder)}")
            return lengths
    return {}


def _frames(paths: Sequence[str], known: dict[str, int]) -> dict[str, int | UserError]:
    """{path: samples at 16 kHz, or the UserError that says why the file is unfit} of every source."""
    if unknown := sum(path not in known for path in paths):
        print(f"lengths: from the headers of {unknown} files")

    def frames(path: str) -> int | UserError:
        try:
            if path in known:
                if not os.path.isfile(path):
                    raise UserError(f"{path}: no such file")
                return known[path]
            info = audio_info(path)
            if info.sample_rate != RATE:
                raise UserError(f"{path}: {info.sample_rate} Hz, LibriSpeech has {RATE} Hz; resample it")
            return info.frames
        except UserError as error:
            return UserError(f"{error}; correct --librispeech-dir, or give a --metadata-dir without this table")

    return dict(zip(paths, map_in_threads(frames, paths, "sources"), strict=True))


def _complete(mixture: Mixture, frames: dict[str, int | UserError], look: bool) -> Mixture | UserError:
    """The mixture with the lengths of its speakers filled in, or the UserError of a file that is unfit.

    `look`: open the noise too, to see whether it is fit.
    """
    for track in mixture.speakers:
        if isinstance(frames[track.path], UserError):
            return frames[track.path]
    speakers = tuple(replace(track, frames=frames[track.path]) for track in mixture.speakers)
    if mixture.noise and look:
        try:
            noise_info(mixture.noise.path, max(track.frames for track in speakers))
        except UserError as error:
            return error
    return replace(mixture, speakers=speakers)
