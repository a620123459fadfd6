"""page/blocks.py: the page as a real browser shows it, served by demo.py."""

import os
import re

import numpy as np
import pytest
import soundfile
from conftest import PATIENCE_SECONDS
from pages import contrast
from served import serving

from page.example import RATE, voices

pytest.importorskip("gradio", reason="requirements/page.txt is not installed")

PATIENCE = 1000 * PATIENCE_SECONDS  # milliseconds
LOADED = """() => {
    const players = [...document.querySelectorAll("#result audio")];
    return players.length == 3 && players.every(player => player.readyState >= 1);
}"""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("served")) as served:
        yield served


@pytest.fixture
def opened(browser, served):
    """Opens the page in a window of its own; gives it with what it asked for and complained of."""
    contexts = []

    def open_page(width=1280, height=900, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.requested, page.complaints = [], []
        page.on("request", lambda request: page.requested.append(request.url))
        page.on("console", lambda message: page.complaints.append((message.type, message.text)))
        page.on("pageerror", lambda error: page.complaints.append(("error", str(error))))
        page.goto(served.url)
        page.wait_for_selector("#separate")
        return page

    yield open_page
    for context in contexts:
        page = context.pages[0]
        outside = [url for url in page.requested if not url.startswith((served.url, "data:", "blob:"))]
        complaints = [text for kind, text in page.complaints if kind == "error"]
        context.close()
        assert (outside, complaints) == ([], [])


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """Four seconds of two voices, at 44.1 kHz in two channels."""
    from scipy.signal import resample_poly

    path = tmp_path_factory.mktemp("recording") / "two voices.flac"
    mixture = resample_poly(np.sum(voices(), axis=0)[: 4 * RATE], 441, 160)
    soundfile.write(path, np.stack([mixture, mixture], axis=1), 44100)
    return str(path)


def give(page, path):
    page.set_input_files("#given input[type=file]", path)
    page.wait_for_selector(f"#given :text('{os.path.basename(path).rpartition('.')[0]}')")


def result_of(page):
    page.wait_for_function(LOADED, timeout=PATIENCE)
    return page.inner_text("#result [role=status]")


def test_upload_result_players_and_downloads(opened, recording, served):
    page = opened()
    give(page, recording)
    page.click("#separate")
    said = result_of(page)
    assert said.startswith("two voices.flac: 4.0 s at 44100 Hz, 2 channels; channels mixed to one, their mean; ")
    assert "resampled from 44100 Hz to the network's 8000 Hz, and back; 16-bit wav at 44100 Hz, in " in said
    assert re.search(r"levels: mixture -\d+\.\d\sdB, speaker 1 -\d+\.\d\sdB, speaker 2 -\d+\.\d\sdB\.$", said)
    durations = page.evaluate("[...document.querySelectorAll('#result audio')].map(player => player.duration)")
    assert durations == pytest.approx([4.0] * 3, abs=1e-3)
    images = page.evaluate("[...document.querySelectorAll('#result img')].map(image => image.naturalWidth)")
    assert images == [800] * 3
    found = []
    for number, ending in enumerate(("mixture", "s1", "s2")):
        with page.expect_download() as download:
            page.locator("#result a").nth(number).click()
        assert download.value.suggested_filename == f"two voices_{ending}.wav"
        samples, rate = soundfile.read(download.value.path())
        assert rate == 44100 and len(samples) == 4 * 44100
        found.append(samples)
    rest = np.sum(found[1:], axis=0) - found[0]
    assert np.mean(rest**2) < 0.5 * np.mean(found[0] ** 2)
    page.locator("#result audio").nth(1).evaluate("player => { player.muted = true; return player.play(); }")
    page.wait_for_function("() => document.querySelectorAll('#result audio')[1].currentTime > 0.1")
    assert served.watched() == ""


def test_the_example_in_dark_and_its_contrast(opened):
    page = opened(scheme="dark")
    page.click("#example")
    assert result_of(page).startswith("example.wav: 6.0 s at 16000 Hz, 1 channel; resampled from 16000 Hz")
    page.wait_for_timeout(500)  # until it has faded in
    pairs = page.evaluate("""(() => {
        const pairs = [];
        for (const element of document.querySelectorAll("#separate, #example, #result p, #result strong, #result a")) {
            let behind = element;
            const colour = element => getComputedStyle(element).backgroundColor;
            while (behind && /rgba\\(.*, 0\\)/.test(colour(behind))) behind = behind.parentElement;
            pairs.push([getComputedStyle(element).color, behind ? colour(behind) : "rgb(0, 0, 0)"]);
        }
        return pairs;
    })()""")
    assert len(pairs) >= 8
    for pair in pairs:
        assert contrast(*([int(part) for part in re.findall(r"\d+", colour)[:3]] for colour in pair)) >= 4.5, pair


def test_a_file_is_dropped(opened, recording):
    page = opened()
    with open(recording, "rb") as file:
        content = list(file.read())
    transfer = page.evaluate_handle(
        """content => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(content)], "dropped.flac", {type: "audio/flac"}));
            return transfer;
        }""",
        content,
    )
    page.dispatch_event("#given button", "drop", {"dataTransfer": transfer})
    page.wait_for_selector("#given :text('dropped')")
    page.click("#separate")
    assert result_of(page).startswith("dropped.flac: 4.0 s")


def test_a_recording_of_the_microphone_takes_the_place_of_a_file(opened, recording):
    page = opened()
    give(page, recording)
    page.click("#recorded button:has-text('Record')")
    page.wait_for_timeout(1500)
    page.click("#recorded button:has-text('Stop')")
    page.wait_for_selector("#given input[type=file]", state="attached")  # it is empty again
    page.click("#separate")
    assert re.match(r"\S+\.wav: [\d.]+ s at \d+ Hz", result_of(page))


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("broken.wav", b"not audio", "error: broken.wav: not an audio file that libsndfile can read"),
        ("<b>odd.flac", b"fLaC" + bytes(50), "odd.flac: not an audio file that libsndfile can read"),
    ],
)
def test_a_bad_file_is_one_line_of_separate_py(opened, tmp_path, name, content, line, recording):
    page = opened()
    (tmp_path / name).write_bytes(content)
    page.set_input_files("#given input[type=file]", str(tmp_path / name))
    page.wait_for_selector("#given :text('KB'), #given :text(' B')")
    page.click("#separate")
    page.wait_for_selector("#result [role=alert]")
    assert line in page.inner_text("#result") and page.locator("#result b").count() == 0
    page.click("#example")  # and it goes on
    assert result_of(page).startswith("example.wav")


def test_nothing_given_is_a_line(opened):
    page = opened()
    page.click("#separate")
    page.wait_for_selector("#result [role=alert]")
    assert page.inner_text("#result") == "error: no recording yet; drop, choose or record one"


def test_another_checkpoint_is_chosen_from_the_keyboard(opened, recording):
    page = opened()
    give(page, recording)
    for presses in (1, 2, 1, 2):  # the first may do no more than open the list
        page.focus("#checkpoint input")
        for _ in range(presses):
            page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        if (chosen := page.input_value("#checkpoint input")) != "libri2mix_8k.ckpt":
            break
        page.focus("#separate")
    assert chosen.endswith(".ckpt") and chosen != "libri2mix_8k.ckpt"
    page.focus("#separate")
    page.keyboard.press("Enter")
    assert result_of(page).startswith("two voices.flac: 4.0 s")


def test_tab_reaches_all_that_one_can_use_and_is_seen(opened):
    page = opened()
    page.click("#example")
    result_of(page)
    page.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
    page.locator("h1").click()
    seen = []
    for _ in range(60):
        page.keyboard.press("Tab")
        name, outline = page.evaluate("""(() => {
            const element = document.activeElement, style = getComputedStyle(element);
            const within = element.closest("#given, #recorded, #checkpoint, #separate, #example");
            const name = within ? within.id : element.getAttribute("aria-label") || element.textContent.trim();
            return [element == document.body ? "" : name, style.outlineStyle];
        })()""")
        if not name and seen:
            break
        if name and (not seen or seen[-1] != name):
            seen.append(name)
            assert outline == "solid", name
    results = []
    for title, file in (("Mixture", "mixture"), ("Speaker 1", "s1"), ("Speaker 2", "s2")):
        results += [f"Download example_{file}.wav", title]
    assert seen == ["given", "recorded", "checkpoint", "separate", "example", *results]


@pytest.mark.parametrize("width", [320, 375, 768])
def test_nothing_is_wider_than_the_window(opened, width):
    page = opened(width=width, height=800)
    page.click("#example")
    result_of(page)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    beyond = """[...document.querySelectorAll("#result *, button, h1, p")].filter(element => {
        const box = element.getBoundingClientRect();
        return box.width && (box.right > innerWidth + .5 || box.left < -.5);
    }).map(element => element.outerHTML.slice(0, 80))"""
    assert page.evaluate(beyond) == []


def test_a_second_visitor_waits_for_the_first(opened, tmp_path):
    minutes = np.tile(np.sum(voices(), axis=0), 50)  # five of them
    soundfile.write(tmp_path / "long.flac", minutes, RATE)
    first, second = opened(), opened()
    give(first, str(tmp_path / "long.flac"))
    first.click("#separate")
    first.wait_for_selector("#result :text('separating')")
    second.click("#example")
    second.wait_for_selector("#result :text('queue')")
    assert first.locator("#result audio").count() == 0
    assert "in 23 pieces of 17 s, joined where they overlap" in result_of(first)
    assert result_of(second).startswith("example.wav")
