"""The tables of benchmark.py."""

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np

from common.wording import print_markdown


def print_rows(rows: list[dict[str, Any]], args: argparse.Namespace) -> None:
    """Print the times of every length and party."""
    first, *others = rows[0]["parties"]
    ratio_name = f"{others[0]} / {first}" if others else "ratio"
    header = ["audio", "timed", "median s", "minimum s", "s per s of audio", "first call s", "peak GB"]
    table = [[*header, ratio_name, "pair by pair"] if others else header]
    amount = "100 of about" if args.what in ("evaluate", "network", "equal") else f"{args.batch} x"
    for row in rows:
        for name, party in row["parties"].items():
            cells = [f"{amount} {row['seconds']:g} s", f"{name}, {args.engine}" if name == "peer" else name]
            cells += [f"{party[key]:.3f}" for key in ("median", "minimum", "real_time_factor")]
            cells += [f"{party['first_call']:.1f}" if "first_call" in party else "", f"{party['peak_memory_gb']:.2f}"]
            if others:
                cells += ratio_cells(row["ratio"]) if name in others else ["", ""]
            table.append(cells)
    print_markdown(table)


def print_starts(rows: list[dict[str, Any]]) -> None:
    """Print how long each script, and each party, keeps a person waiting."""
    table = [["waited for", "timed", "median s", "minimum s", "peak GB", "second / first", "pair by pair"]]
    for row in rows:
        for name, party in row["parties"].items():
            is_last = row["ratio"] and name == list(row["parties"])[-1]
            cells = [f"{party[key]:.2f}" for key in ("median", "minimum", "peak_memory_gb")]
            table.append([row["name"], name, *cells, *(ratio_cells(row["ratio"]) if is_last else ["", ""])])
    print_markdown(table)


def ratio_cells(ratio: dict[str, float]) -> list[str]:
    """The two cells of what `parties.compare` gave."""
    return [f"{ratio['of_medians']:.2f}", f"{ratio['median']:.2f} ({ratio['lowest']:.2f} to {ratio['highest']:.2f})"]


def print_lines(lines: dict[str, dict[str, float]]) -> None:
    """Print how straight time and memory grow with the length."""
    for name, percent in lines.items():
        print(
            f"{name}: farthest from a straight line through all lengths: time {percent['median']:.1f} %,"
            f" peak memory {percent['peak_memory_gb']:.1f} %"
        )


def print_formats(formats: list[dict[str, Any]], consumption: float) -> None:
    """Print the speed of the input pipeline, beside the seconds of audio that a step consumes in a second."""
    header = ["files", "examples per s", "s of audio per s", "minimum", "times the step's"]
    table = [[*header, "resident GB after each epoch"]]
    for row in formats:
        cells = [row["format"], f"{row['examples_per_second']:.0f}", f"{row['median']:.0f}", f"{row['minimum']:.0f}"]
        cells.append(f"{row['median'] / consumption:.0f}")
        table.append([*cells, " ".join(f"{size:.3f}" for size in row["resident_gb"])])
    print_markdown(table)
    print(f"a step of training consumes {consumption:.2f} s of audio per s")


def print_chunks(result: dict[str, Any], chunk: float) -> None:
    """Print how long chunks of so many milliseconds take."""
    header = ["chunk, ms", "median ms", "99 % below ms", "real-time factor", "parameters"]
    cells = [f"{chunk:g}", *(f"{1000 * result[name]:.2f}" for name in ("median", "percentile_99"))]
    print_markdown([header, [*cells, f"{result['real_time_factor']:.3f}", str(result["parameters"])]])


def straight_lines(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """How far each party's time and memory are from growing with the length in a line: {name: {measure: percent}}."""
    lengths = [row["seconds"] for row in rows]
    return {
        name: {
            measure: deviation_from_line(lengths, [row["parties"][name][measure] for row in rows])
            for measure in ("median", "peak_memory_gb")
        }
        for name in rows[0]["parties"]
    }


def deviation_from_line(x: Sequence[float], y: Sequence[float]) -> float:
    """Farthest that a y is from the straight line through all of them, in percent of the line there.

    The line is that of least squares of the relative distances, sum(((slope * x + intercept - y) / y)^2): the short
    lengths count as much as the long ones.
    """
    fitted = np.polyval(np.polyfit(x, y, 1, w=1 / np.array(y)), x)
    return max(100 * abs(value - line) / abs(line) for value, line in zip(y, fitted, strict=True))
