"""Whole numbers."""


def ceil_div(a: int, b: int) -> int:
    """`a / b`, rounded up; of numpy arrays each on its own."""
    return -(-a // b)
