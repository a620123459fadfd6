"""Open a page to separate recordings on: drop, choose or record one, and listen to its speakers.

    python demo.py

serves it on this machine alone (127.0.0.1), and nothing on it comes from elsewhere. Recordings are separated as
separate.py does, long ones in pieces and in flat memory, one after another. It needs requirements/page.txt, and for
m4a, mp4 and the like requirements/formats.txt. Ctrl-C ends it, and removes what was given to it and made.
"""

from common.signals import end_at_signals

if __name__ == "__main__":
    end_at_signals()  # what follows takes seconds

import threading
from collections.abc import Sequence
from functools import lru_cache

from device import Network, load_to_separate

from common.command_line import parse
from common.errors import run
from common.files import temporary_folder
from page.blocks import checkpoints, open_page


def main(argv: Sequence[str] | None = None) -> None:
    args = parse(__doc__, "model_file", "page", "device", argv=argv)

    @lru_cache(maxsize=3)
    def load(path: str) -> Network:
        ascend = {"jit_level": args.jit_level, "hf32": args.hf32}
        return load_to_separate(path, args.device_target, args.device_id, **ascend)[0]

    with temporary_folder() as folder:
        if args.model_path:
            load(args.model_path)  # whose mistakes are said here
        address = open_page(folder, checkpoints(args.model_path), load, args.port)
        print(f"the page is at {address} (Ctrl-C ends it)", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    run(main)
