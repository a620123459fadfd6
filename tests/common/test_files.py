"""common/files.py: a file is written whole or not at all, and no link is followed on the way."""

import os

import pytest

from common.errors import UserError
from common.files import whole_file


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
