"""benchmarks/tables.py: how far times are from growing in a line."""

import numpy as np
import pytest

from benchmarks.tables import deviation_from_line


def test_deviation_from_a_line():
    lengths = [1.0, 2.0, 4.0, 8.0, 16.0]
    assert deviation_from_line(lengths, [3 * x + 0.5 for x in lengths]) == pytest.approx(0, abs=1e-9)
    times = [0.13, 0.21, 0.45, 0.78, 1.70]
    relative = np.stack([lengths, np.ones(5)], axis=1) / np.array(times)[:, None]
    line = np.stack([lengths, np.ones(5)], axis=1) @ np.linalg.lstsq(relative, np.ones(5), rcond=None)[0]
    assert deviation_from_line(lengths, times) == pytest.approx(100 * np.max(np.abs(times - line) / line))
