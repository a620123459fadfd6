"""corpus/loading.py: what a path that leads to no index says, and that folders of JSON files are opened quickly."""

import subprocess
import sys

import pytest
from conftest import ROOT
from small_corpus import RATE, make_corpus

from common.errors import UserError
from corpus.loading import load_index


def test_no_index_at_all(tmp_path):
    with pytest.raises(UserError, match="nowhere: no such folder or MindRecord file"):
        load_index(tmp_path / "nowhere", RATE)
    for rate in (0, 1, 999, 768_001):
        with pytest.raises(UserError, match=f"the sample rate {rate}: must be from 1000 to 768000"):
            load_index(tmp_path, rate)


def test_opening_a_folder_needs_no_mindspore(tmp_path):
    make_corpus(tmp_path)
    script = "import sys; from corpus.loading import load_index; print(load_index(sys.argv[1], 8000).name(1))"
    script += "; print('mindspore' in sys.modules)"
    command = [sys.executable, "-c", script, tmp_path]
    assert subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stdout == "u1\nFalse\n"
