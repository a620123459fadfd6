"""The bar chart of benchmark.py: ours beside a peer."""

import json
from typing import Any

from matplotlib.figure import Figure

from common.errors import UserError, first_line
from common.files import whole_file
from config import NETWORK

Bar = tuple[str, float, float, float]  # label, our median in seconds, the peer's, ratio of the two


def draw_chart(results: str | None, path: str) -> None:
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


def read_bars(path: str | None) -> list[Bar]:
    """The results with a peer in a file. Raises UserError as `draw_chart` does."""
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


def bars_of(record: dict[str, Any]) -> list[Bar]:
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
