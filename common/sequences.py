"""Sequences of names."""

from collections.abc import Sequence


def first_repeated(items: Sequence[str]) -> int | None:
    """The number of the first item that an earlier one equals; None if all differ."""
    seen = set(items)
    if len(seen) == len(items):
        return None
    for number, item in enumerate(items):  # each is taken out when it is first met
        if item not in seen:
            return number
        seen.remove(item)
    return None
