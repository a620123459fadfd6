"""demo.py as a process, of which is known what it asked of the network and whether it imported MindSpore."""

import os
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue

from conftest import PATIENCE_SECONDS, ROOT, heed_signals

# What Python runs first: it writes down who is asked for beyond this machine, and the import of MindSpore.
WATCH = """
import os, sys
def watch(event, arguments):
    said = None
    if event == "socket.connect" and isinstance(arguments[1], tuple) and arguments[1][0] not in ("127.0.0.1", "::1"):
        said = f"connects to {arguments[1]}"
    elif event == "socket.getaddrinfo" and arguments[0] not in (None, "127.0.0.1", "localhost", "::1"):
        said = f"asks for {arguments[0]}"
    elif event == "import" and arguments[0] == "mindspore":
        said = "imports mindspore"
    if said:
        with open(os.environ["WATCHED"], "a") as file:
            print(said, file=file)
sys.addaudithook(watch)
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Served:
    """The page's address, its process, and `watched()`: what the process did that it should not."""

    def __init__(self, folder, *options):
        (folder / "sitecustomize.py").write_text(WATCH)
        self.watch_file = folder / "watched"
        environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
        environment |= {"WATCHED": str(self.watch_file), "PYTHONPATH": str(folder), "TMPDIR": str(folder)}
        command = [sys.executable, "demo.py", "--port", str(free_port()), "--device_target", "CPU", *options]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            preexec_fn=heed_signals, start_new_session=True,
        )  # fmt: skip
        self.lines, self.errors = Queue(), []
        threading.Thread(target=lambda: [*map(self.lines.put, self.process.stdout)], daemon=True).start()
        threading.Thread(target=lambda: self.errors.extend(self.process.stderr), daemon=True).start()
        line = ""
        while not line.startswith("the page is at "):
            try:
                line = self.lines.get(timeout=PATIENCE_SECONDS)
            except Empty:
                raise AssertionError("".join(self.errors)) from None
        self.url = line.split()[4]

    def watched(self):
        return self.watch_file.read_text() if self.watch_file.exists() else ""

    def end(self):
        self.process.terminate()
        return self.process.wait(PATIENCE_SECONDS)


@contextmanager
def serving(folder, *options):
    served = Served(Path(folder), *options)
    try:
        yield served
    finally:
        if served.process.poll() is None:
            served.end()
