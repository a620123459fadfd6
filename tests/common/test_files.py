"""common/files.py: a file is written whole or not at all, and no link is followed on the way."""

import json
import os

import pytest

from common.errors import UserError
from common.files import whole_file, whole_text
from common.wording import printable


def test_what_is_written_takes_the_place_of_what_was_there(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with whole_file(tmp_path / "a.txt") as place:
        assert os.path.basename(place) == "a.txt"
        with open(place, "w") as file:
            file.write("new")
        assert (tmp_path / "a.txt").read_text() == "old"
    assert (tmp_path / "a.txt").read_text() == "new"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [OSError("full"), RuntimeError("full"), KeyboardInterrupt()])
def test_nothing_is_left_where_the_writing_fails(tmp_path, error):
    with pytest.raises((UserError, KeyboardInterrupt)), whole_file(tmp_path / "a.txt") as place:
        open(place, "w").close()
        open(f"{place}.tmp", "w").close()
        raise error
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_what_an_earlier_process_left_is_removed(tmp_path, kind):
    with whole_file(tmp_path / "a.txt") as place:
        left = os.path.dirname(place)
        open(place, "w").close()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.txt").write_text("mine")
    if kind == "folder":
        os.mkdir(left)
        open(os.path.join(left, "a.txt.tmp"), "w").close()
    elif kind == "file":
        open(left, "w").close()
    else:
        os.symlink(tmp_path / "other", left)
    with whole_file(tmp_path / "a.txt") as place, open(place, "w") as file:
        file.write("new")
    assert (tmp_path / "a.txt").read_text() == "new"
    assert (tmp_path / "other" / "a.txt").read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == ["a.txt", "other"]


def test_names_that_are_not_utf8_are_written_as_json_writes_them(tmp_path):
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    os.mkdir(folder)
    with whole_text(os.path.join(folder, "a.txt")) as file:
        file.write(f"é, {os.path.basename(folder)}\n")
    with open(os.path.join(folder, "a.txt"), encoding="utf-8") as file:
        assert file.read() == "é, caf\\udce9\n" == f"é, {json.loads(json.dumps(printable(os.path.basename(folder))))}\n"
