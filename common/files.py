"""Folders, checksums, and files that are written whole or not at all."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from common.errors import UserError, first_line
from common.signals import passing, remove
from common.wording import UNPRINTABLE

LONGEST_NAME = 255  # bytes of a file's name
KERNEL_KINDS = set(b"bpf cgroup cgroup2 configfs debugfs devpts devtmpfs efivarfs proc pstore securityfs sysfs".split())
KERNEL_KINDS |= set(b"binfmt_misc fusectl mqueue nsfs rpc_pipefs selinuxfs smackfs tracefs".split())


@contextmanager
def writing(path: str | os.PathLike) -> Iterator[None]:
    """Raise UserError, naming `path`, for whatever keeps the block from writing it, such as a full disk."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:  # soundfile's and MindSpore's errors are RuntimeErrors
        raise UserError(f"{path}: cannot be written ({first_line(error)}); is there room and permission?") from None


@contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[str]:
    """Give a place for a file of the same name to write to, which becomes `path` once all is written.

    An earlier `path` stays as it was until then, or for good where the writing fails. The place is in a hidden folder
    beside `path`, which takes the place of what an earlier process left under its name, a symbolic link too. Raises
    UserError, naming the file, if it cannot be written: no folder, no permission, a full disk.
    """
    folder, name = os.path.split(path)

    def make_place() -> str:
        hidden = f".{name}.partial"
        if len(os.fsencode(hidden)) > LONGEST_NAME:
            hidden = f".{hashlib.sha256(os.fsencode(name)).hexdigest()}.partial"
        place = os.path.join(folder, hidden)
        remove(place)
        os.mkdir(place)
        return place

    with writing(path), passing(make_place) as place:
        yield os.path.join(place, name)
        os.replace(os.path.join(place, name), path)


@contextmanager
def whole_text(path: str | os.PathLike) -> Iterator[TextIO]:
    """The same as `whole_file`, open for text in UTF-8; for names that are not UTF-8 see `wording.printable`."""
    with whole_file(path) as partial, open(partial, "w", encoding="utf-8", errors=UNPRINTABLE, newline="") as file:
        yield file


@contextmanager
def temporary_folder(prefix: str = "conv-tasnet-", beside: str | None = None) -> Iterator[str]:
    """Make a folder, in the folder `beside` or where the system wants such, and remove it with what is in it.

    Raises UserError if it cannot be made.
    """

    def make() -> str:
        with writing(beside or "a temporary folder, where TMPDIR says"):
            return tempfile.mkdtemp(prefix=prefix, dir=beside)

    with passing(make) as folder:
        yield folder


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


def kernel_devices() -> set[int]:
    """The `st_dev` of the file systems whose files Linux makes up, endless some of them, such as /proc and /sys."""
    found = set()
    with suppress(OSError), open("/proc/mounts", "rb") as mounts:
        for _, place, kind, *_ in map(bytes.split, mounts):
            if kind in KERNEL_KINDS:
                with suppress(OSError):
                    found.add(os.stat(place).st_dev)
    return found


def make_folder(folder: str | os.PathLike) -> None:
    """Make a folder and those above it. Raises UserError if that cannot be done."""
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror}); choose another folder") from None
