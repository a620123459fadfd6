"""The tables and the bar chart of benchmark.py."""

import json

import numpy as np
from matplotlib.figure import Figure

from common.errors import UserError, first_line
from common.files import whole_file
from common.wording import print_markdown
from config import NETWORK


def print_rows(rows, args):
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


def ratio_cells(ratio):
    return [f"{ratio['of_medians']:.2f}", f"{ratio['median']:.2f} ({ratio['lowest']:.2f} to {ratio['highest']:.2f})"]


def print_lines(lines):
    """Print how straight time and memory grow with the length."""
    for name, percent in lines.items():
        print(
            f"{name}: farthest from a straight line through all lengths: time {percent['median']:.1f} %,"
            f" peak memory {percent['peak_memory_gb']:.1f} %"
        )


def print_formats(formats, consumption):
    """Print the speed of the input pipeline, beside the seconds of audio that a step consumes in a second."""
    header = [
        "files",
        "examples per s",
        "s of audio per s",
        "minimum",
        "times the step's",
        "resident GB after each epoch",
    ]
    table = [header]
    for row in formats:
        cells = [row["format"], f"{row['examples_per_second']:.0f}", f"{row['median']:.0f}", f"{row['minimum']:.0f}"]
        cells.append(f"{row['median'] / consumption:.0f}")
        table.append([*cells, " ".join(f"{size:.3f}" for size in row["resident_gb"])])
    print_markdown(table)
    print(f"a step of training consumes {consumption:.2f} s of audio per s")


def print_chunks(result, chunk):
    """Print how long chunks of so many milliseconds take."""
    header = ["chunk, ms", "median ms", "99 % below ms", "real-time factor", "parameters"]
    cells = [f"{chunk:g}", *(f"{1000 * result[name]:.2f}" for name in ("median", "percentile_99"))]
    print_markdown([header, [*cells, f"{result['real_time_factor']:.3f}", str(result["parameters"])]])


def straight_lines(rows):
    """How far each party's time and memory are from growing with the length in a line: {name: {measure: percent}}."""
    lengths = [row["seconds"] for row in rows]
    return {
        name: {
            measure: deviation_from_line(lengths, [row["parties"][name][measure] for row in rows])
            for measure in ("median", "peak_memory_gb")
        }
        for name in rows[0]["parties"]
    }


def deviation_from_line(x, y):
    """Farthest that a y is from the straight line through all of them, in percent of the line there.

    The line is that of least squares of the relative distances, sum(((slope * x + intercept - y) / y)^2): the short
    lengths count as much as the long ones.
    """
    fitted = np.polyval(np.polyfit(x, y, 1, w=1 / np.array(y)), x)
    return max(100 * abs(value - line) / abs(line) for value, line in zip(y, fitted, strict=True))


def draw_chart(results, path):
    """Draw ours beside the peer, for every result with a peer, as bars.

    Args:
        results: file that benchmark.py --results wrote.
        path: PNG file to write.

    Raises UserError if the results are missing, malformed or have no peer, or if `path` cannot be written.
    """
    bars = read_bars(results)
    labels, ours, peers, ratios = zip(*bars, strict=True)
    places, width = range(len(bars)), 0.38
    figure = Figure(figsize=(max(6.0, 1.0 + 1.5 * len(bars)), 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.bar([place - width / 2 for place in places], ours, width, label="ours", color="#1b6ca8")
    axes.bar([place + width / 2 for place in places], peers, width, label="peer", color="#c9ced6")
    for place, our, peer, ratio in zip(places, ours, peers, ratios, strict=True):
        axes.annotate(
            f"{ratio:.2f}", (place, max(our, peer)), (0, 3), textcoords="offset points", ha="center", weight="bold"
        )
    axes.set_xticks(places, labels, fontsize=9)
    axes.set_ylabel("median seconds")
    axes.set_title("Seconds a round, less is better; above: peer / ours", fontsize=10)
    axes.margins(y=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    with whole_file(path) as partial:
        figure.savefig(partial, format="png", dpi=150)


def read_bars(path):
    """The results with a peer in a file: a list of (label, our median, the peer's, ratio of the two)."""
    if not path:
        raise UserError("--chart: draws what an earlier --results FILE holds; name it")
    try:
        with open(path, encoding="utf-8") as file:
            lines = list(file)
    except (OSError, UnicodeError) as error:
        raise UserError(f"--results {path}: cannot be read ({first_line(error)}); time something first") from None
    bars = []
    for number, line in enumerate(lines, 1):
        try:
            bars += bars_of(json.loads(line))
        except (ValueError, KeyError, TypeError):
            raise UserError(f"--results {path}: line {number} is not a result of benchmark.py; remove it") from None
    if not bars:
        raise UserError(f"--results {path}: nothing in it was timed with a peer; add --peer")
    return bars


def bars_of(record):
    """The bars of one line of results: those of its lengths that were timed with a peer."""
    options = record["options"]
    network = " ".join(f"{name} {options[name]}" for name in NETWORK if options[name] != NETWORK[name]["default"])
    bars = []
    for row in record.get("rows", []):
        if "peer" in row["parties"]:
            label = f"{record['what']}\n{options['batch']} x {row['seconds']:g} s\n{options['engine']}"
            medians = [row["parties"][name]["median"] for name in ("ours", "peer")]
            bars.append((f"{label}\n{network}".rstrip(), *medians, row["ratio"]["of_medians"]))
    return bars
