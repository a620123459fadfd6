"""The page of an evaluation: headline figures, charts, tables, and examples to see and hear, all in one HTML file.

report_template.html is the page; here is computed and put into words what it shows.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np

from common.estimates import mixture_gains
from common.files import whole_text
from common.wording import count_of, duration
from evaluation.pictures import PALETTES, histogram, scatter, signal_picture, sound
from evaluation.scores import Scores, Values
from evaluation.summary import DIGITS, NAMES, in_digits

TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters["count_of"] = count_of
FACTS = {  # where the name in summary.json does not say enough
    "checkpoint_sha256": "Its SHA-256",
    "sample_rate": "Sample rate, Hz",
    "hours": "Hours of mixtures",
}
MINUS = "\N{MINUS SIGN}"
EXAMPLE_SECONDS = 15  # longer ones are cut, so that the page stays at a few megabytes

Cell = tuple[str, str | None]  # of a table: a value, and its standard error where it has one
Row = tuple[str, list[Cell]]  # of a table: its name, and its cells


@dataclass(frozen=True)
class Example:
    """A mixture to see and hear.

    Attributes:
        kind: which of all it is, such as "best".
        scores: what was measured of it.
        mixture: [T].
        sources: [C, T]; None where they are not known.
        estimates: [C, T], in the order of the sources.
        sample_rate: in Hz.
    """

    kind: str
    scores: Scores
    mixture: np.ndarray
    sources: np.ndarray | None
    estimates: np.ndarray
    sample_rate: int


def write_report(path: str | os.PathLike, scores: Sequence[Scores], summary: dict, examples: Sequence[Example]) -> None:
    """Write the page of an evaluation.

    Args:
        path: HTML file to write.
        scores: of every mixture.
        summary: what summary.json holds, as summary.py documents it.
        examples: in the order in which the page shows them.

    Raises UserError if the file cannot be written.
    """
    with whole_text(path) as file:
        file.write(page(scores, summary, examples))


def page(scores: Sequence[Scores], summary: dict, examples: Sequence[Example]) -> str:
    """The whole page as text; the arguments are as for `write_report`."""
    facts = summary["facts"]
    return TEMPLATES.get_template("report_template.html").render(
        palettes=PALETTES,
        mixtures=len(scores),
        checkpoint=facts["checkpoint"],
        index=facts["index"],
        figures=headline_figures(scores, summary),
        charts=chart_data(scores),
        all_metrics=metric_rows(summary["all"]),
        by_sexes=group_rows({sexes_in_words(letters): each for letters, each in summary["by_sexes"].items()}),
        by_band=group_rows({band.replace("-", MINUS): each for band, each in summary["by_mixture_si_snr"].items()}),
        examples=[example_data(example) for example in examples],
        facts={FACTS.get(name, name.replace("_", " ").capitalize()): fact_text(fact) for name, fact in facts.items()},
    )


def headline_figures(scores: Sequence[Scores], summary: dict) -> list[dict[str, str]]:
    """The figures that one looks for first, each a label, value, unit and note."""
    figures = []
    for metric, statistics in summary["all"].items():
        label, unit, digits = label_unit_digits(metric)
        if (improvement := statistics["improvement"])["count"]:
            note = f"median {with_sign(improvement['median'], digits)}"
            if improvement["standard_error"] is not None:
                note = f"± {with_minus(improvement['standard_error'], digits)} standard error, {note}"
            if improvement["count"] < summary["mixtures"] - summary["left_out"]:
                note += f", of {count_of(improvement['count'], 'mixture')}"
            value = with_sign(improvement["mean"], digits)
            figures.append({"label": f"{label} improvement", "value": value, "unit": unit, "note": note})
    note = duration(sum(each.seconds for each in scores))
    if summary["left_out"]:
        note += f"; {summary['left_out']} left out of the averages: the mixture or a source is silent"
    return [*figures, {"label": "Mixtures", "value": str(len(scores)), "unit": "", "note": note}]


def chart_data(scores: Sequence[Scores]) -> dict | None:
    """The histogram and the scatter plot, and the numbers that go with them; None where they would have but one
    mixture or none.
    """
    scored = [each for each in scores if not each.silent]
    if len(scored) < 2:
        return None
    improvements = np.array([each.means["si_snr"].improvement for each in scored])
    inputs, gains = (
        np.concatenate([getattr(each.sources["si_snr"], kind) for each in scored])
        for kind in ("mixture", "improvement")
    )
    return {
        "histogram": histogram(improvements),
        "mixtures": len(scored),
        "quartiles": [with_sign(value) for value in np.percentile(improvements, [0, 25, 50, 75, 100])],
        "scatter": scatter(inputs, gains),
        "sources": len(gains),
        "inputs": [with_sign(value) for value in (inputs.min(), inputs.max())],
        "worse": np.count_nonzero(gains < 0),
    }


def metric_rows(statistics: Mapping[str, dict]) -> list[Row]:
    """The means of each metric, of the mixture, the estimates and the improvement."""
    rows = []
    for metric, kinds in statistics.items():
        digits = DIGITS[metric]
        means = [(with_minus(kinds[kind]["mean"], digits), None) for kind in ("mixture", "estimate")]
        rows.append((NAMES[metric], [*means, mean_cell(kinds["improvement"], digits)]))
    return rows


def group_rows(groups: Mapping[str, dict]) -> list[Row]:
    """Count, mean and median of the SI-SNR improvement in each of those groups that have any."""
    improvements = {name: statistics["si_snr"]["improvement"] for name, statistics in groups.items()}
    return [
        (name, [(str(each["count"]), None), mean_cell(each), (with_sign(each["median"]), None)])
        for name, each in improvements.items()
        if each["count"]
    ]


def mean_cell(statistics: dict, digits: int = 2) -> Cell:
    """A mean with its standard error."""
    error = statistics["standard_error"]
    return with_sign(statistics["mean"], digits), None if error is None else with_minus(error, digits)


def example_data(example: Example) -> dict:
    """One mixture, its sources and estimates: a title, what is known of it, the mixture's signal, and of each source
    its scores and signals.
    """
    mixture, estimates, scores = example.mixture, example.estimates, example.scores
    estimates = mixture_gains(estimates, mixture)[:, np.newaxis] * estimates  # [C, T]
    references = [] if example.sources is None else example.sources
    cut = round(EXAMPLE_SECONDS * example.sample_rate)
    peak = max(np.abs(samples[:cut]).max() for samples in (mixture, *references, *estimates)) or 1.0

    def shown(title: str, samples: np.ndarray, source: str = "") -> dict[str, str]:
        label = f"{example.kind} example, {source}{title.lower()}"
        return signal_data(title, label, samples[:cut] / peak, example.sample_rate)

    sources = []
    for number, (estimate, values) in enumerate(zip(estimates, scores.single_sources(), strict=True), 1):
        signals = [shown("Reference", references[number - 1], f"source {number}, ")] if len(references) else []
        signals.append(shown("Estimate", estimate, f"source {number}, "))
        sources.append({"scores": source_scores(values), "signals": signals})
    title = example.kind.capitalize()
    if not scores.silent:
        title += f": {with_sign(scores.means['si_snr'].improvement)} dB"
    return {"title": title, "known": known_of(scores), "mixture": shown("Mixture", mixture), "sources": sources}


def known_of(scores: Scores) -> list[str]:
    """What is known of an example's mixture."""
    known = [scores.name]
    if scores.sexes:
        known.append(sexes_in_words(scores.sexes))
    known.append(f"{scores.seconds:.1f} s")
    if scores.seconds > EXAMPLE_SECONDS:
        known.append(f"the first {EXAMPLE_SECONDS} s of it here")
    if scores.silent:
        known.append("no SI-SNR: the mixture or a source is silent")
    return known


def source_scores(values: Mapping[str, Values]) -> list[str]:
    """What was measured of one source, from the mixture to its estimate."""
    found = []
    for metric in NAMES:
        if metric in values and not np.isnan(values[metric].estimate):
            label, unit, digits = label_unit_digits(metric)
            before, after = (with_minus(value, digits) for value in (values[metric].mixture, values[metric].estimate))
            found.append(f"{label} from {before} to {after} {unit}".rstrip())
    return found or ["Nothing was measured."]


def signal_data(title: str, label: str, samples: np.ndarray, sample_rate: int) -> dict[str, str]:
    """Picture and sound of samples [T] within -1 and 1, and what to write at them."""
    return {
        "title": title,
        "label": label,
        "picture": signal_picture(samples, sample_rate),
        "sound": sound(samples, sample_rate),
        "seconds": f"{len(samples) / sample_rate:.1f} s",
        "band": f"0 to {sample_rate / 2000:g} kHz",
    }


def fact_text(fact: dict | list | int | float | str) -> str:
    """A fact in words."""
    if isinstance(fact, dict):
        return ", ".join(f"{name} {each}" for name, each in fact.items())
    if isinstance(fact, list):
        return ", ".join(map(str, fact))
    if isinstance(fact, int):
        return f"{fact:,}".replace(",", "\N{NO-BREAK SPACE}")
    return f"{fact:.2f}" if isinstance(fact, float) else str(fact)


def sexes_in_words(letters: str) -> str:
    """Letters of sexes, such as "FM", in words."""
    return ", ".join({"F": "female", "M": "male"}[letter] for letter in letters)


def label_unit_digits(metric: str) -> tuple[str, str, int]:
    """Name, unit and decimals of a metric."""
    name, _, unit = NAMES[metric].partition(", ")
    return name, unit, DIGITS[metric]


def with_minus(value: float | None, digits: int = 2) -> str:
    """A number with a minus sign, and not a hyphen, where it is negative."""
    return in_digits(value, digits).replace("-", MINUS)


def with_sign(value: float | None, digits: int = 2) -> str:
    """A number with a minus or a plus sign."""
    return with_minus(value, digits) if value is None or value < 0 else "+" + with_minus(value, digits)
