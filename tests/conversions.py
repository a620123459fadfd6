"""What the tests of convert.py share: its command line, the parity files, and how it refuses."""

from pathlib import Path

import numpy as np
import pytest

import convert
from common.errors import UserError


def arguments(name, in_file, out_file, *more):
    """Command line that converts a file of the source that `name` begins with."""
    return ["--source", name.split("_")[0], str(in_file), str(out_file), "--device_target", "CPU", *more]


def parity(shared, name):
    return dict(np.load(shared / "parity" / f"{name}.npz"))


def refused(argv):
    """The one line that the script refuses these arguments with; it leaves no file."""
    with pytest.raises(UserError) as error:
        convert.main(argv)
    message = str(error.value)
    assert "\n" not in message
    assert not Path(argv[3]).exists()
    return message
