"""Durations, counts, names and tables as a person reads them."""

import re
from collections.abc import Sequence

UNPRINTABLE = "backslashreplace"  # how to write a name that is not UTF-8, as JSON does: "caf\\udce9" for Latin-1's é
# What would begin another line, move the cursor, change a terminal's colours or turn the order of what is read.
CONTROL = re.compile(r"[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def duration(seconds: float) -> str:
    """Seconds in words, such as "2 h 05 min"."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def count_of(number: int, noun: str) -> str:
    """A count with its noun, such as "1 mixture" and "2 mixtures"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def printable(name: str) -> str:
    """A file's name, or a line with names in it, as UTF-8 in one line, which the system does not hold names to.

    What is not UTF-8 and what controls a terminal is written as JSON or Python write it: "two\\nlines".
    """
    name = name.encode(errors=UNPRINTABLE).decode()
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), name)


def print_line(line: str) -> None:
    """Print a line, in one line whatever names are in it: see `printable`."""
    print(printable(line))


def print_markdown(table: Sequence[Sequence[str]]) -> None:
    """Print rows of cells, the header first, as a Markdown table."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    table = [table[0], ["-" * width for width in widths], *table[1:]]
    for row in table:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")
