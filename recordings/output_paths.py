"""Where the files go that separate.py makes of each recording."""

import os

from common.errors import UserError
from common.files import LONGEST_NAME

Outputs = dict[str, tuple[list[str], str | None, list[str]]]  # by path, `targets`, `picture`, `segments` of a Recording


def output_paths(
    files: dict[str, str],
    out_dir: str,
    speakers: int,
    overwrite: bool = False,
    plot: bool = False,
    segments: bool = False,
) -> Outputs:
    """Where the estimates of each file go, their picture, and who speaks when.

    Args:
        files: from `find_files`.
        out_dir: folder for NAME_s1.wav, NAME_s2.wav ...
        speakers: how many.
        overwrite: whether such files may be there already.
        plot: whether there is a picture, NAME.png.
        segments: whether there are NAME.rttm and NAME.json, which say who speaks when.

    Returns a dict from path to a list of the paths of its estimates, that of the picture or None, and a list of those
    of the segments. Raises UserError if a file would be written over an input or, unless `overwrite`, over what is
    there.
    """
    outputs = {}
    inputs = {os.path.realpath(path) for path in files}
    for path, name in files.items():
        targets = [os.path.join(out_dir, f"{name}_s{number}.wav") for number in range(1, speakers + 1)]
        picture = os.path.join(out_dir, f"{name}.png") if plot else None
        tables = segment_paths(out_dir, name) if segments else []
        outputs[path] = targets, picture, tables
        for target in filter(None, [*targets, picture, *tables]):
            if os.path.realpath(target) in inputs:
                raise UserError(f"{target}: the estimates of {path} would overwrite this input; take another --out_dir")
            if os.path.lexists(target) and not overwrite:
                raise UserError(f"{target}: is there already; --overwrite replaces it, --skip_existing leaves it")
    return outputs


def segment_paths(out_dir: str, name: str) -> list[str]:
    """Where it is written who speaks when in a recording of this name."""
    return [os.path.join(out_dir, f"{name}.{ending}") for ending in ("rttm", "json")]


def unwritable(outputs: Outputs) -> dict[str, str]:
    """Why some of the files of `output_paths` cannot be written: one place for two of them, or too long a name."""
    owners, reasons = {}, {}
    for path, (targets, picture, segments) in outputs.items():
        for target in filter(None, [*targets, picture, *segments]):
            if (size := len(os.fsencode(os.path.basename(target)))) > LONGEST_NAME:
                reason = "{}: its name is too long for {}, of {} bytes; {} is the most; rename it"
                reasons.setdefault(path, reason.format(path, os.path.basename(target), size, LONGEST_NAME))
            other = owners.setdefault(os.path.realpath(target), path)
            if other != path:
                reason = "{}: would be written to {}, as {} would; give them two --out_dir"
                reasons.setdefault(path, reason.format(path, target, other))
                reasons.setdefault(other, reason.format(other, target, path))
    return reasons
