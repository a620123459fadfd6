"""scripts/setup_lite.sh: says in one line why MindSpore Lite cannot be fetched, and leaves nothing behind."""

import os
import subprocess

from conftest import ROOT
from cpp_program import last_line


def setup_lite(folder, **environment):
    return subprocess.run(["bash", ROOT / "scripts/setup_lite.sh"], capture_output=True, text=True,
                          env=os.environ | {"XDG_CACHE_HOME": str(folder)} | environment)  # fmt: skip


def test_lite_says_when_it_cannot_be_fetched(tmp_path):
    result = setup_lite(tmp_path, PYTHON="false")
    assert (result.returncode, result.stdout) == (2, "")
    assert last_line(result.stderr).startswith("error: MindSpore Lite: pip cannot fetch 2.0.0")
    assert not list((tmp_path / "conv-tasnet").iterdir())


def test_lite_says_when_there_is_none_for_the_machine(tmp_path):
    (tmp_path / "uname").write_text("#!/bin/sh\necho Linux aarch64\n")
    (tmp_path / "uname").chmod(0o755)
    result = setup_lite(tmp_path, PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert (result.returncode, result.stdout) == (2, "")
    assert "no package of 2.0.0 for Linux aarch64" in result.stderr
