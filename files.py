"""Files that are written whole or not at all."""

import os
from contextlib import contextmanager, suppress

from errors import UserError, first_line


@contextmanager
def whole_file(path):
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
