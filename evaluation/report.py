"""The page of an evaluation: headline figures, charts, tables, and examples to see and hear, all in one HTML file.

report_template.html is the frame with its style and script; here is what stands in it.
"""

from html import escape
from pathlib import Path
from string import Template

import numpy as np

from common.estimates import mixture_gains
from common.files import whole_file
from common.wording import duration
from evaluation.pictures import PALETTES, histogram, scatter, signal_picture, sound
from evaluation.summary import DIGITS, NAMES, in_digits, sources_of

TEMPLATE = Path(__file__).with_name("report_template.html")
FACTS = {  # where the name in summary.json does not say enough
    "checkpoint_sha256": "Its SHA-256",
    "sample_rate": "Sample rate, Hz",
    "hours": "Hours of mixtures",
}
EXAMPLE_SECONDS = 15  # longer ones are cut, so that the page stays at a few megabytes


def write_report(path, rows, summary, examples):
    """Write the page of an evaluation.

    Args:
        path: HTML file to write.
        rows: a dict an utterance, as in results.csv; values are None where something was silent.
        summary: what summary.json holds, as summary.py documents it.
        examples: list of (kind, row, mixture [T], sources [C, T] or None, estimates [C, T] in the order of the
            sources, sample rate in Hz), where kind is "best", "median" or the like.

    Raises UserError if the file cannot be written.
    """
    with whole_file(path) as partial:
        Path(partial).write_text(page(rows, summary, examples), encoding="utf-8")


def choose(rows):
    """The utterances to show: {"best", "median" and "worst": number} by SI-SNR improvement, as far as they differ."""
    scored = [number for number, row in enumerate(rows) if row["si_snr"] is not None]
    ranked = sorted(scored, key=lambda number: -rows[number]["si_snr_improvement"])
    kinds = {1: ["only"], 2: ["best", "worst"]}.get(len(ranked), ["best", "median", "worst"])
    places = {"best": 0, "only": 0, "median": len(ranked) // 2, "worst": -1}
    return {kind: ranked[places[kind]] for kind in kinds} if ranked else {}


def page(rows, summary, examples):
    """The whole page as text; arguments as of `write_report`."""
    facts = summary["facts"]
    sections = {
        "result": ("Result", headline(rows, summary)),
        "spread": ("From mixture to mixture", charts(rows)),
        "tables": ("In numbers", tables(summary)),
        "examples": ("Listen", listen(examples)),
        "made": ("How this was made", made(facts)),
    }
    sections = {name: section for name, section in sections.items() if section[1]}
    heading = f"Separation of {counted(len(rows), 'mixture')}"
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        {scheme: " ".join(f"--{name}: {value};" for name, value in PALETTES[scheme].items()) for scheme in PALETTES},
        title=f"{heading}: {escape(facts['index'])}",
        heading=heading,
        lead=f"{escape(facts['checkpoint'])} on {escape(facts['index'])}",
        links="\n".join(f'<li><a href="#{name}">{title}</a></li>' for name, (title, _) in sections.items()),
        main="\n".join(
            f'<section id="{name}" aria-labelledby="{name}-title">\n<h2 id="{name}-title">{title}</h2>\n{content}\n'
            "</section>"
            for name, (title, content) in sections.items()
        ),
    )


def headline(rows, summary):
    """The figures that one looks for first."""
    tiles = []
    for metric, statistics in summary["all"].items():
        label, unit, digits = named(metric)
        if (improvement := statistics["improvement"])["count"]:
            mean, note = signed(improvement["mean"], digits), f"median {signed(improvement['median'], digits)}"
            if improvement["standard_error"] is not None:
                note = f"± {number(improvement['standard_error'], digits)} standard error, {note}"
            if improvement["count"] < summary["mixtures"] - summary["left_out"]:
                note += f", of {counted(improvement['count'], 'mixture')}"
            tiles.append((f"{label} improvement", mean, unit, note))
    note = duration(sum(row["seconds"] for row in rows))
    if summary["left_out"]:
        note += f"; {summary['left_out']} left out of the averages: the mixture or a source is silent"
    tiles.append(("Mixtures", str(len(rows)), "", note))
    return '<dl class="figures">\n{}\n</dl>'.format(
        "\n".join(
            f'<div class="card"><dt>{label}</dt><dd class="value{"" if place else " first"}">{value}'
            f' <span class="unit">{unit}</span></dd><dd class="small muted">{note}</dd></div>'
            for place, (label, value, unit, note) in enumerate(tiles)
        )
    )


def charts(rows):
    """The histogram and the scatter; nothing where they would have but one mixture, or none."""
    scored = [row for row in rows if row["si_snr"] is not None]
    if len(scored) < 2:
        return ""
    improvements = np.array([row["si_snr_improvement"] for row in scored])
    lowest, quarter, middle, three_quarters, highest = (
        signed(value) for value in np.percentile(improvements, [0, 25, 50, 75, 100])
    )
    sources = [source for row in scored for source in sources_of(row, ["si_snr"])]
    inputs, gains = (np.array([source[f"si_snr_{name}"] for source in sources]) for name in ("mixture", "improvement"))
    worse = np.count_nonzero(gains < 0) or "None"
    return (
        '<div class="pair">'
        + chart(
            histogram(improvements),
            f"Histogram of the SI-SNR improvement of {counted(len(scored), 'mixture')}, from {lowest} to {highest} dB.",
            f"How many mixtures improved by how much. Half of them lie between {quarter} and {three_quarters} dB, all"
            f" between {lowest} and {highest}; the median is {middle}.",
        )
        + chart(
            scatter(inputs, gains),
            f"Scatter plot of the SI-SNR improvement of {counted(len(gains), 'source')} against their SI-SNR in the"
            f" mixture, which goes from {signed(inputs.min())} to {signed(inputs.max())} dB; the table by SI-SNR in the"
            " mixture has the means.",
            f"Each point is a source of a mixture. {worse} of {len(gains)} became worse, below the dashed line.",
        )
        + "</div>"
    )


def chart(images, alternative, text):
    """A chart for light and dark schemes, with a text for those who do not see it and one for all."""
    return (
        f'<figure class="card chart"><picture><source media="(prefers-color-scheme: dark)" srcset="{images["dark"]}">'
        f'<img src="{images["light"]}" width="360" height="245" alt="{alternative}"></picture>'
        f"<figcaption>{text}</figcaption></figure>"
    )


def tables(summary):
    """All metrics; SI-SNR improvement by sexes and by SI-SNR in the mixture, where something is known of them."""
    lines = []
    for metric, statistics in summary["all"].items():
        _, _, digits = named(metric)
        means = [number(statistics[kind]["mean"], digits) for kind in ("mixture", "estimate")]
        improvement, _ = spread(statistics["improvement"], digits)
        lines.append([NAMES[metric], *means, improvement])
    everything = table("Means over all mixtures", ["Metric", "Mixture", "Estimate", "Improvement"], lines)
    sexes = {spoken(letters): statistics for letters, statistics in summary["by_sexes"].items()}
    bands = {band.replace("-", "&minus;"): statistics for band, statistics in summary["by_mixture_si_snr"].items()}
    return (
        f'{everything}\n<div class="pair">'
        + grouped("SI-SNR improvement by the speakers' sexes, dB", "Speakers", sexes)
        + grouped("SI-SNR improvement of single sources by their SI-SNR in the mixture, dB", "In the mixture", bands)
        + "</div>"
    )


def grouped(caption, first, groups):
    """A table of the SI-SNR improvement in those groups that have any; no table where none has."""
    improvements = {name: statistics["si_snr"]["improvement"] for name, statistics in groups.items()}
    lines = [[name, each["count"], *spread(each)] for name, each in improvements.items() if each["count"]]
    return table(caption, [first, "Count", "Mean", "Median"], lines) if lines else ""


def spread(statistics, digits=2):
    """Cells of a mean with its standard error, and of a median."""
    mean = signed(statistics["mean"], digits)
    if statistics["standard_error"] is not None:
        mean += f' <span class="muted">± {number(statistics["standard_error"], digits)}</span>'
    return [mean, signed(statistics["median"], digits)]


def table(caption, header, lines):
    """A table whose first column names its rows; cells are HTML."""
    head = "".join(f'<th scope="col">{cell}</th>' for cell in header)
    body = "\n".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'
        for first, *cells in lines
    )
    return (
        f'<div class="card table"><table><caption>{caption}</caption>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def listen(examples):
    """The examples, if there are any; `examples` as of `write_report`."""
    text = "Mixtures by their SI-SNR improvement. Click into a picture to listen from there."
    return f"<p>{text}</p>\n{''.join(example(*each) for each in examples)}" if examples else ""


def example(kind, row, mixture, sources, estimates, sample_rate):
    """One mixture, its sources and estimates; arguments as of `write_report`."""
    estimates = mixture_gains(estimates, mixture)[:, np.newaxis] * estimates  # [C, T]
    references = [] if sources is None else sources
    cut = round(EXAMPLE_SECONDS * sample_rate)
    peak = max(np.abs(samples[:cut]).max() for samples in (mixture, *references, *estimates)) or 1.0

    def shown(title, samples, source=""):
        return signal(title, f"{kind} example, {source}{title.lower()}", samples[:cut] / peak, sample_rate)

    parts = [example_heading(kind, row), shown("Mixture", mixture)]
    for source, estimate in enumerate(estimates, 1):
        pair = [shown("Reference", references[source - 1], f"source {source}, ")] if len(references) else []
        pair.append(shown("Estimate", estimate, f"source {source}, "))
        parts.append(
            f'<div class="source"><h4>Source {source}</h4><p class="small muted">{scores(row, source)}</p>'
            f'<div class="pair">{"".join(pair)}</div></div>'
        )
    return '<article class="card example">{}</article>\n'.format("\n".join(parts))


def example_heading(kind, row):
    """Which example this is, and what is known of the mixture."""
    title, known = kind.capitalize(), [escape(row["name"])]
    if row["sexes"]:
        known.append(spoken(row["sexes"]))
    known.append(f"{row['seconds']:.1f} s")
    if row["seconds"] > EXAMPLE_SECONDS:
        known.append(f"the first {EXAMPLE_SECONDS} s of it here")
    if row["si_snr"] is None:
        known.append("no SI-SNR: the mixture or a source is silent")
    else:
        title += f": {signed(row['si_snr_improvement'])} dB"
    return f'<header><h3>{title}</h3><p class="small muted">{" · ".join(known)}</p></header>'


def scores(row, source):
    """What was measured of one source, from the mixture to its estimate."""
    found = []
    for metric in NAMES:
        if row.get(f"{metric}_{source}") is not None:
            label, unit, digits = named(metric)
            before, after = (number(row[f"{name}_{source}"], digits) for name in (f"{metric}_mixture", metric))
            found.append(f"{label} from {before} to {after} {unit}".rstrip())
    return " · ".join(found) or "Nothing was measured."


def signal(title, label, samples, sample_rate):
    """Picture and player of samples [T] within -1 and 1."""
    seconds = f"{len(samples) / sample_rate:.1f} s"
    band = f"0 to {sample_rate / 2000:g} kHz"
    return (
        f'<figure class="signal"><figcaption>{title}</figcaption><div class="picture">'
        f'<img src="{signal_picture(samples, sample_rate)}" width="800" height="240"'
        f' alt="Waveform, and spectrogram from {band}, of {seconds}: {label}"><div class="cursor"></div></div>'
        f'<div class="axis" aria-hidden="true"><span>0 s</span><span>{band}</span><span>{seconds}</span></div>'
        f'<audio controls preload="metadata" aria-label="{label}" src="{sound(samples, sample_rate)}"></audio></figure>'
    )


def made(facts):
    """The facts of the evaluation, and what its words mean."""
    lines = "\n".join(
        f"<dt>{escape(FACTS.get(name, name.replace('_', ' ').capitalize()))}</dt><dd>{escape(told(value))}</dd>"
        for name, value in facts.items()
    )
    return (
        f'<dl class="facts">\n{lines}\n</dl>\n'
        "<p>An improvement is the estimate's value less the mixture's, against the same source, averaged over the"
        " sources of a mixture and then over the mixtures; ± is the standard error of that mean. Estimates are assigned"
        " to sources by the highest SI-SNR.</p>\n"
        "<p>Pictures show the waveform above the spectrogram. Estimates have the levels that add up to the"
        " mixture, and all signals of an example are made louder or quieter together.</p>"
    )


def told(value):
    """A fact in words."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {each}" for name, each in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\N{NO-BREAK SPACE}")
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def spoken(sexes):
    """Letters of sexes, such as "FM", in words."""
    return ", ".join({"F": "female", "M": "male"}[letter] for letter in sexes)


def named(metric):
    """Name, unit and decimals of a metric."""
    name, _, unit = NAMES[metric].partition(", ")
    return name, unit, DIGITS[metric]


def number(value, digits=2):
    """A number as HTML, with a minus sign and not a hyphen."""
    return in_digits(value, digits).replace("-", "&minus;")


def signed(value, digits=2):
    """`number` with a plus sign where there is no minus."""
    return number(value, digits) if value is None or value < 0 else "+" + number(value, digits)


def counted(count, noun):
    """A count with its noun, such as "1 mixture" and "2 mixtures"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
