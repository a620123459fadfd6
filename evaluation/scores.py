"""What was measured of one mixture, on its way from metrics.py to results.csv, the summary and the page."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

COLUMN_ENDINGS = {"mixture": "_mixture", "estimate": "", "improvement": "_improvement"}  # in results.csv


class Values(NamedTuple):
    """What one metric says of a mixture, of its estimates, and of how much better these are.

    Each is an array [C], a number a source, or one number; NaN where there is none.
    """

    mixture: np.ndarray | float
    estimate: np.ndarray | float
    improvement: np.ndarray | float


@dataclass(frozen=True)
class Scores:
    """What was measured of one mixture's estimates.

    Attributes:
        permutation: the estimate, from 0, of each source; None where the mixture or a source is silent, or SI-SNR
            failed, so that there are no values.
        sources: {metric: Values of arrays [C], float64}, si_snr among them.
        seconds: duration of the mixture.
        name: what the mixture is called.
        sexes: of its speakers, letters such as "FM"; None where they are not known.
        failures: {metric: why it failed}; its values are NaN.
    """

    permutation: tuple[int, ...] | None
    sources: dict[str, Values]
    seconds: float
    name: str = ""
    sexes: str | None = None
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def silent(self) -> bool:
        """Whether there are no values, as where the mixture or a source is silent."""
        return self.permutation is None

    @property
    def means(self) -> dict[str, Values]:
        """{metric: Values of numbers}, the means over the sources; NaN where one of them has no value."""
        return {metric: Values(*(float(each.mean()) for each in values)) for metric, values in self.sources.items()}

    def single_sources(self) -> list[dict[str, Values]]:
        """{metric: Values of numbers} of each source."""
        return [
            {metric: Values(*(float(each[source]) for each in values)) for metric, values in self.sources.items()}
            for source in range(len(self.sources["si_snr"].mixture))
        ]

    def columns(self) -> dict[str, str | float | None]:
        """What results.csv has of it: `permutation`, from 1, and for each metric NAME_mixture, NAME (of the estimates)
        and NAME_improvement, first the means and then each source's own, which end in _1, _2 ...; None where there is
        no value.
        """
        order = None if self.silent else " ".join(str(estimate + 1) for estimate in self.permutation)
        columns = {"permutation": order} | _columns(self.means)
        for source, values in enumerate(self.single_sources(), 1):
            columns |= _columns(values, f"_{source}")
        return columns


def _columns(values: dict[str, Values], ending: str = "") -> dict[str, float | None]:
    return {
        f"{metric}{COLUMN_ENDINGS[kind]}{ending}": None if np.isnan(value) else value
        for metric, kinds in values.items()
        for kind, value in kinds._asdict().items()
    }
