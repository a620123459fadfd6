"""Whole numbers."""

HIGHEST_RATE = 768_000  # Hz that are believed of a file, of audio or of a network: studio equipment goes up to it


def ceil_div(a: int, b: int) -> int:
    """`a / b`, rounded up; of numpy arrays each on its own."""
    return -(-a // b)
