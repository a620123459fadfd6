"""A result as HTML: for the mixture and each speaker a picture, a player and a download."""

import os
from html import escape
from urllib.parse import quote

from page.result import Result, Signal

# Colours are Gradio's own, which follow the light and the dark scheme.
STYLE = """
.done { margin: 0 0 .5rem; }
.signal { margin: 0 0 1.5rem; padding: 0; }
.signal figcaption { display: flex; flex-wrap: wrap; gap: 0 1rem; align-items: baseline; margin-bottom: .25rem; }
.signal figcaption strong { font-size: 1.1em; }
.signal img { display: block; width: 100%; height: auto; }
.signal audio { display: block; width: 100%; margin-top: .25rem; }
.axis { display: flex; justify-content: space-between; font-size: .8em; }
.signal a { text-decoration: underline; margin: 0; padding: 0; }
.said { overflow-wrap: anywhere; }
.error { border-left: 4px solid #c0362c; padding: .5rem .75rem; overflow-wrap: anywhere; }
footer { display: none !important; }
*:focus-visible { outline: 3px solid #2b9299 !important; outline-offset: 2px; }
"""


def result_markup(result: Result) -> str:
    """The HTML of a result; its files must be among those that the page may give away."""
    said = "; ".join([*result.done, f"levels: {', '.join(map(level, result.signals))}"])
    notes = "".join(f'<p class="said">{escape(note)}</p>' for note in result.notes)
    figures = "".join(signal_markup(signal, result) for signal in result.signals)
    return f'<p class="done said" role="status">{escape(result.name)}: {escape(said)}.</p>{notes}{figures}'


def level(signal: Signal) -> str:
    """How loud a signal is, for a person; dB of full scale. The number stays beside its unit."""
    return f"{signal.name.lower()} {signal.level:.1f}\N{NO-BREAK SPACE}dB"


def signal_markup(signal: Signal, result: Result) -> str:
    """A picture of a signal, a player and a link to download it."""
    name, file = escape(signal.name), os.path.basename(signal.path)
    place = escape(f"gradio_api/file={quote(signal.path)}")
    band = f"0 to {result.sample_rate / 2000:g} kHz"
    seconds = f"{result.seconds:.1f} s"
    return (
        f'<figure class="signal"><figcaption><strong>{name}</strong>'
        f'<a href="{place}" download="{escape(file)}">Download {escape(file)}</a></figcaption>'
        f'<img src="{signal.picture}" width="800" height="240"'
        f' alt="{name}: waveform above, spectrogram from {band} below, of {seconds}">'
        f'<div class="axis" aria-hidden="true"><span>0 s</span><span>{band}</span><span>{seconds}</span></div>'
        f'<audio controls preload="metadata" aria-label="{name}" src="{place}"></audio></figure>'
    )


def error_markup(message: str) -> str:
    """The line of a recording that cannot be separated."""
    return f'<p class="error" role="alert">error: {escape(message)}</p>'
