"""Whole numbers."""

RATES = (1000, 768_000)  # Hz that are believed, of audio or of a network: studio equipment goes up to the latter


def is_rate(sample_rate: object) -> bool:
    """Whether this can be the sample rate of audio, in Hz."""
    return isinstance(sample_rate, int) and RATES[0] <= sample_rate <= RATES[1]


def ceil_div(a: int, b: int) -> int:
    """`a / b`, rounded up; of numpy arrays each on its own."""
    return -(-a // b)
