"""The page: what is on it and what happens on it, in Gradio.

Nothing comes from elsewhere: no fonts (Gradio's own are of this machine, and others than the system's are not asked
for), no scripts, no analytics. It listens on 127.0.0.1 only, where the rest of the network does not reach it.
"""

import glob
import os
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress

from device import Network

from common.errors import UserError
from common.files import make_folder
from common.signals import remove
from common.wording import printable
from network.checkpoint import SHIPPED
from page.example import write_example
from page.markup import STYLE, error_markup, result_markup
from page.result import separate_into

ADDRESS = "127.0.0.1"
FIRST_CHOICE = "libri2mix_8k.ckpt"
TITLE = "Conv-TasNet: two people talk at once"
WELCOME = (
    f"# {TITLE}\n\nGive a recording, and listen to each of them. Nothing leaves this machine. The networks that come"
    " along know two voices, with noise or without; a third is beyond them."
)
ACCENT, DARKER = "#0b6b72", "#084f54"  # of the first button, on which white can be read
FORGOTTEN_SECONDS = 3600  # after which what was given is removed; what was made is, so long after its visitor has gone


def checkpoints(own: str | None = None) -> list[tuple[str, str]]:
    """The checkpoints to choose from, pairs of a name and a path: that of --model_path first, then those shipped."""
    shipped = sorted(glob.glob(os.path.join(glob.escape(SHIPPED), "*.ckpt")))
    shipped.sort(key=lambda path: os.path.basename(path) != FIRST_CHOICE)
    return [(printable(os.path.basename(path)), path) for path in ([own] if own else []) + shipped]


def open_page(folder: str, choices: list[tuple[str, str]], load: Callable[[str], Network], port: int | None) -> str:
    """Serve the page from a thread.

    Args:
        folder: for all that is given to the page and made by it; the caller removes it.
        choices: from `checkpoints`, the first of which is chosen at first.
        load: gives the network of a checkpoint's path.
        port: None for the first free one from 7860.

    Returns the page's address. Raises UserError if Gradio is not installed or the port is taken.
    """
    if port is not None and not 0 < port < 2**16:
        raise UserError(f"--port {port}: must be from 1 to {2**16 - 1}")
    os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    os.environ["GRADIO_TEMP_DIR"] = os.path.join(folder, "given")
    for name in ("NO_PROXY", "no_proxy"):  # Gradio asks itself whether it is there
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), ADDRESS]))
    try:
        import gradio as gr  # seconds, for the page alone
    except ImportError as error:
        raise UserError(f"the page needs Gradio ({error}); pip install -r requirements/page.txt") from None
    made = os.path.join(folder, "made")
    make_folder(made)
    page = build(gr, made, choices, load)
    theme = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]).set(
        **dict.fromkeys(("button_primary_background_fill", "button_primary_background_fill_dark"), ACCENT),
        **dict.fromkeys(("button_primary_background_fill_hover", "button_primary_background_fill_hover_dark"), DARKER),
    )
    try:
        _, address, _ = page.launch(
            server_name=ADDRESS, server_port=port, share=False, quiet=True, prevent_thread_lock=True, theme=theme,
            css=STYLE, footer_links=[], allowed_paths=[made], ssr_mode=False, inbrowser=False, enable_monitoring=False,
            run_history=False, mcp_server=False, pwa=False,
        )  # fmt: skip
    except OSError:
        taken = f"--port {port}: is taken" if port else "--port: none of 7860 to 7959 is free"
        raise UserError(f"{taken}; choose another") from None
    threading.Thread(target=warm, args=[made, load, choices[0][1]], daemon=True).start()
    return address


def warm(made: str, load: Callable[[str], Network], path: str) -> None:
    """What the first visitor would wait for: the example, the network, and what draws."""
    import evaluation.pictures  # noqa: F401

    with suppress(UserError):  # which the visitor gets
        write_example(made)
        load(path)


def build(gr: object, made: str, choices: list[tuple[str, str]], load: Callable[[str], Network]) -> object:
    """The page, a gradio.Blocks: `gr` is Gradio, and results go into folders in `made`."""

    def separate(given: str | None, recorded: str | None, checkpoint: str, kept: str | None, bar=gr.Progress()):  # noqa: B008, ANN001
        """Give the HTML of the result, and its folder, in place of the one that was kept before."""
        path = given or recorded
        remove(kept or "")
        if path is None:
            return error_markup("no recording yet; drop, choose or record one"), None
        folder = tempfile.mkdtemp(dir=made)
        try:
            bar(0, desc="reading")
            result = separate_into(folder, path, load(checkpoint), lambda part: bar(part, desc="separating"))
            return result_markup(result), folder
        except UserError as error:
            remove(folder)
            return error_markup(str(error)), None

    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(600, FORGOTTEN_SECONDS)) as page:
        gr.Markdown(WELCOME)
        kept = gr.State(None, delete_callback=lambda folder: remove(folder or ""))
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                given = gr.File(label="Recording: drop it here, or choose a file", height=140, elem_id="given")
                recorded = gr.Audio(
                    sources=["microphone"], type="filepath", label="Or record one", elem_id="recorded", editable=False
                )
                checkpoint = gr.Dropdown(choices, value=choices[0][1], label="Network", elem_id="checkpoint")
                start = gr.Button("Separate", variant="primary", elem_id="separate")
                example = gr.Button("Take the example", elem_id="example")
            with gr.Column(scale=2, min_width=280):
                shown = gr.HTML("<p>The speakers will be here.</p>", elem_id="result")
        given.upload(lambda: None, outputs=recorded, queue=False)
        recorded.stop_recording(lambda: None, outputs=given, queue=False)
        inputs, outputs = [given, recorded, checkpoint, kept], [shown, kept]
        # One at a time, whoever clicks: the others see how many are before them.
        only = dict(concurrency_limit=1, concurrency_id="separating", show_progress_on=shown)
        start.click(separate, inputs, outputs, **only)
        example.click(lambda: (write_example(made), None), outputs=[given, recorded]).then(
            separate, inputs, outputs, **only
        )
    return page
