"""Folders, checksums, and files that are written whole or not at all."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from common.errors import UserError, first_line


@contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[str]:
    """Give a hidden name beside `path` to write to, of the same ending, which becomes `path` once all is written.

    An earlier `path` stays as it was until then, or for good where the writing fails. Raises UserError, naming the
    file, if it cannot be written: no folder, no permission, a full disk.
    """
    folder, name = os.path.split(path)
    stem, ending = os.path.splitext(name)
    partial = os.path.join(folder, f".{stem}.partial{ending}")
    try:
        yield partial
        os.replace(partial, path)
    except (OSError, RuntimeError, ValueError) as error:  # soundfile's and MindSpore's errors are RuntimeErrors
        raise UserError(f"{path}: cannot be written ({first_line(error)}); is there room and permission?") from None
    finally:
        with suppress(OSError):
            os.remove(partial)


def checksum(path: str | os.PathLike) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as stream:
        return hashlib.sha256(stream.read()).hexdigest()


def list_folder(folder: str | os.PathLike) -> list[str]:
    """Names in a folder that are not hidden, sorted. Raises UserError if it cannot be listed."""
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError as error:
        raise UserError(f"{folder}: cannot be listed ({error.strerror}); give a folder that exists") from None


def make_folder(folder: str | os.PathLike) -> None:
    """Make a folder and those above it. Raises UserError if that cannot be done."""
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror}); choose another folder") from None
