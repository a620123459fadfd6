"""How many bursts of speech PESQ's library may find in a signal: it has room for 50, and does not look.

With more of them its score is wrong, or it crashes, or it does not end. What it takes for a burst is at least 0.2 s
of speech, with pauses of more than 0.2 s around it, by the power of windows of 4 ms; so 19 s never have too many.
"""

import numpy as np

WINDOW_SECONDS = 0.004
JOINED = 50  # windows of a pause that does not part two bursts
SHORTEST = 46  # windows of a burst; the library makes it longer by two at both ends
LEVELS_DB = np.arange(-39.5, 0)  # where the threshold may be, against the loudest window


def most_bursts(signal: np.ndarray, sample_rate: int) -> int:
    """The most bursts of speech in a signal [T], whatever threshold parts speech from pauses.

    The library looks after a filter that takes low tones off. So the differences between samples are looked at too,
    where they are weaker.
    """
    signal = np.asarray(signal, np.float64)
    return max(_most_bursts(each, round(WINDOW_SECONDS * sample_rate)) for each in (signal, np.diff(signal)))


def _most_bursts(signal: np.ndarray, window: int) -> int:
    windows = len(signal) // window
    power = np.square(signal[: windows * window]).reshape(windows, window).mean(axis=1)  # [W]
    return max(_bursts(power > limit) for limit in power.max(initial=0) * 10 ** (LEVELS_DB / 10))


def _bursts(loud: np.ndarray) -> int:
    """Bursts among windows that are loud or not [W]."""
    places = np.flatnonzero(loud)
    if not len(places):
        return 0
    ends = np.flatnonzero(np.diff(places) > JOINED + 1)  # of the last loud window of each burst but the last
    firsts, lasts = places[np.append(0, ends + 1)], places[np.append(ends, -1)]
    return int(np.sum(lasts - firsts + 1 >= SHORTEST))
