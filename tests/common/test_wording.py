"""common/wording.py: whatever a name is, what is printed of it is one line."""

import pytest

from common.errors import UserError
from common.wording import print_line, printable


@pytest.mark.parametrize(
    "name, expected",
    [
        ("Zoë's 会議 🎤.wav", "Zoë's 会議 🎤.wav"),
        ("two\nlines\r\n\ttab", r"two\nlines\r\n\ttab"),
        ("\x1b]0;title\x07\x1b[2J\0\x7f\x9b", r"\x1b]0;title\x07\x1b[2J\x00\x7f\x9b"),
        ("\u2028\u2029\x85\u202egnp.wav\u2066", r"\u2028\u2029\x85\u202egnp.wav\u2066"),
        ("caf\udce9\n", r"caf\udce9\n"),
    ],
)
def test_a_name_is_one_line_that_leaves_the_terminal_alone(name, expected, capsys):
    assert printable(name) == str(UserError(name)) == expected
    assert printable(expected) == expected
    print_line(name)
    assert capsys.readouterr().out == f"{expected}\n"
