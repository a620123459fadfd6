"""evaluation/report.py: the page of an evaluation, its text alone and as a real browser shows it."""

import re
import shutil
import time
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest

from common.errors import UserError
from evaluation import report
from evaluation.summary import summarize

RATE = 8000
FACTS = {
    "checkpoint": "exp/best.ckpt",
    "parameters": 1051676,
    "index": "index/tt",
    "hours": 0.25,
    "metrics": ["si_snr", "sdr"],
    "versions": {"python": "3.11.7", "mindspore": "2.10.0"},
}
TOLD = "<script>alert(1)</script>"  # a file's name may be anything


def made_up(utterances=40, speakers=2, seconds=1.5, silent=(), references=True, metrics=("si_snr", "sdr")):
    """Rows, summary and examples of an evaluation that never was; the utterances `silent` have no values."""
    random = np.random.default_rng(utterances + speakers)
    rows = []
    for utterance in range(utterances):
        row = {"name": f"{TOLD} {utterance}", "seconds": seconds}
        for metric in metrics:
            before = random.normal(0, 3, speakers)
            values = {"_mixture": before, "": before + (after := random.normal(9, 2, speakers)), "_improvement": after}
            for ending, each in values.items():
                row[metric + ending] = None if utterance in silent else float(each.mean())
                row |= {
                    f"{metric}{ending}_{source}": None if utterance in silent else value
                    for source, value in enumerate(each.tolist(), 1)
                }
        row["permutation"] = None if utterance in silent else " ".join(map(str, range(1, speakers + 1)))
        row["sexes"] = "".join(sorted(random.choice(["F", "M"], speakers)))
        rows.append(row)
    examples = []
    for place, (kind, row) in enumerate(zip(("best", "median", "worst"), rows, strict=False)):
        moments = np.arange(round(seconds * RATE)) / RATE
        sources = np.stack([np.sin(2 * np.pi * 400 * (1 + source) * moments) for source in range(speakers)])
        if place in silent:
            sources[0] = 0
        estimates = sources + 0.1 * np.roll(sources, 1, axis=0) + 0.01 * random.normal(size=sources.shape)
        examples.append((kind, row, sources.sum(0), sources if references else None, estimates, RATE))
    return rows, summarize(rows, metrics, FACTS), examples


class Page(HTMLParser):
    """What is in a page: (tag, attributes) of every element, and its text. Fails where elements are not nested."""

    VOID = ("meta", "link", "img", "source", "br")

    def __init__(self, text):
        super().__init__()
        self.elements, self.text, self.open = [], "", []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data

    def all(self, *tags):
        return [attributes for tag, attributes in self.elements if tag in tags]


def checked(rows, summary, examples):
    """The page, once all is found that every page must have."""
    page = Page(report.page(rows, summary, examples))
    assert page.elements[0] == ("html", {"lang": "en"})
    identities = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(identities) == len(set(identities))
    for _, attributes in page.elements:
        if "aria-labelledby" in attributes:
            assert attributes["aria-labelledby"] in identities
        if "href" in attributes:
            assert attributes["href"].removeprefix("#") in [*identities, "data:,"]
        for name in ("src", "srcset"):
            assert attributes.get(name, "data:").startswith("data:")
    assert all(image["alt"] for image in page.all("img"))
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert len(page.all("caption")) == len(page.all("table")) > 0
    assert all(cell["scope"] in ("col", "row") for cell in page.all("th"))
    players = page.all("audio")
    assert all("controls" in player and "autoplay" not in player for player in players)
    assert len({player["aria-label"] for player in players}) == len(players)
    assert len(page.all("script")) == 1
    assert not re.search(r"\b(nan|inf|None)\b", page.text.replace("None of", ""))
    return page


def test_figures_and_tables_are_those_of_the_summary():
    rows, summary, examples = made_up(silent=(5, 6))
    page = checked(rows, summary, examples)
    improvements = [row["si_snr_improvement"] for row in rows if row["si_snr"] is not None]
    error = np.std(improvements, ddof=1) / len(improvements) ** 0.5
    assert f"+{np.mean(improvements):.2f} dB" in page.text
    assert f"± {error:.2f} standard error, median +{np.median(improvements):.2f}" in page.text
    assert f"+{summary['all']['sdr']['improvement']['mean']:.2f} dB" in page.text
    assert "60 s; 2 left out of the averages" in page.text
    for letters, words in (("FF", "female, female"), ("FM", "female, male"), ("MM", "male, male")):
        improvement = summary["by_sexes"][letters]["si_snr"]["improvement"]
        cells = f"{improvement['count']}+{improvement['mean']:.2f} ± {improvement['standard_error']:.2f}"
        assert f"{words}{cells}+{improvement['median']:.2f}" in page.text
    band = summary["by_mixture_si_snr"]["-2 to 0"]["si_snr"]["improvement"]
    assert f"\N{MINUS SIGN}2 to 0{band['count']}+{band['mean']:.2f}" in page.text
    assert "exp/best.ckpt on index/tt" in page.text
    assert "1\N{NO-BREAK SPACE}051\N{NO-BREAK SPACE}676" in page.text and "mindspore 2.10.0" in page.text
    first = rows[0]
    assert f"Best: +{first['si_snr_improvement']:.2f} dB" in page.text
    assert re.search(rf"SI-SNR from \S{{4,6}} to {first['si_snr_1']:.2f} dB · SDR from", page.text)


def test_names_are_text_and_not_html():
    page = checked(*made_up(3))
    assert f"{TOLD} 0" in page.text


@pytest.mark.parametrize("speakers", [1, 2, 3])
def test_every_source_has_a_reference_and_an_estimate(speakers):
    page = checked(*made_up(5, speakers))
    assert len(page.all("audio")) == len(page.all("figure")) - 2 == 3 * (1 + 2 * speakers)
    assert page.text.count(f"Source {speakers}") == 3 and f"Source {speakers + 1}" not in page.text
    assert f"{5 * speakers} became worse" in page.text


def test_missing_references_leave_the_estimates():
    page = checked(*made_up(3, references=False))
    assert len(page.all("audio")) == 3 * (1 + 2) and "Reference" not in page.text


def test_silence_has_no_numbers_but_is_shown():
    rows, summary, examples = made_up(4, silent=(0,))
    page = checked(
        rows, summary, [*examples, ("silent", rows[0], np.zeros(800), np.zeros((2, 800)), np.zeros((2, 800)), RATE)]
    )
    assert "no SI-SNR: the mixture or a source is silent" in page.text and "Nothing was measured" in page.text
    assert len(page.all("audio")) == 4 * 5


def test_a_single_utterance_of_a_single_sample_has_no_spread():
    rows, summary, _ = made_up(1)
    example = ("only", rows[0], np.ones(1), np.ones((2, 1)), np.ones((2, 1)), RATE)
    page = checked(rows, summary, [example])
    assert "Separation of 1 mixture" in page.text and "From mixture to mixture" not in page.text
    assert "±" not in page.text.rsplit("How this was made", 1)[0]


def test_only_silence_has_no_charts():
    page = checked(*made_up(2, silent=(0, 1)))
    assert "From mixture to mixture" not in page.text and len(page.all("audio")) == 10


def test_other_metrics_have_their_digits():
    rows, summary, examples = made_up(4, metrics=("si_snr", "stoi", "pesq"))
    page = checked(rows, summary, examples)
    assert f"STOI improvement+{summary['all']['stoi']['improvement']['mean']:.3f}" in page.text
    assert f"PESQ improvement+{summary['all']['pesq']['improvement']['mean']:.2f}" in page.text


def test_long_examples_are_cut_and_say_so():
    page = checked(*made_up(1, seconds=15.5))
    assert "the first 15 s of it here" in page.text
    assert "of 15.0 s" in page.all("img")[-1]["alt"]


@pytest.mark.parametrize(
    ("improvements", "chosen"),
    [
        ([3, 1, 5, 2, 4], {"best": 2, "median": 0, "worst": 1}),
        ([3, None, 5], {"best": 2, "worst": 0}),
        ([None, 2], {"only": 1}),
        ([None], {}),
    ],
)
def test_choice_of_examples(improvements, chosen):
    rows = [{"si_snr": value, "si_snr_improvement": value} for value in improvements]
    assert report.choose(rows) == chosen and list(report.choose(rows)) == list(chosen)


def test_page_is_written_whole_or_not_at_all(tmp_path):
    with pytest.raises(UserError, match=r"report\.html"):
        report.write_report(str(tmp_path / "no" / "report.html"), *made_up(1))
    report.write_report(str(tmp_path / "report.html"), *made_up(1))
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium."""
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("needs the browser Chromium, which is not here (Debian: apt-get install chromium)")
    options = ["no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking"]
    options += ["disable-component-update", "disable-sync"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=[f"--{option}" for option in options])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A page as large as they get: 3000 mixtures, examples of 15 s."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    report.write_report(str(path), *made_up(3000, seconds=15.0))
    return path


@pytest.fixture
def opened(browser, written):
    """Opens the page, without a network, in a window; gives it with what it asked for and complained of."""
    contexts = []

    def open_page(width=1280, height=900, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, offline=True)
        contexts.append(context)
        page = context.new_page()
        page.requested, page.complaints = [], []
        page.on("request", lambda request: page.requested.append(request.url))
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.goto(written.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.alone
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_opens_in_two_seconds_complete_and_asks_for_nothing(opened, written, scheme):
    assert written.stat().st_size < 6e6
    opened().close()  # the browser itself is warm
    began = time.monotonic()
    page = opened(scheme=scheme)
    page.wait_for_function("() => [...document.querySelectorAll('audio')].every(player => player.readyState >= 1)")
    assert time.monotonic() - began < 2
    durations = page.evaluate("[...document.querySelectorAll('audio')].map(player => player.duration)")
    assert durations == pytest.approx([15.0] * 15, abs=1e-3)
    images = page.evaluate(
        "[...document.images].map(image => [image.complete, image.naturalWidth, image.currentSrc == image.src])"
    )
    assert len(images) == 17 and all(complete and width > 0 for complete, width, _ in images)
    assert [as_in_light for *_, as_in_light in images[:2]] == [scheme == "light"] * 2
    assert [url for url in page.requested if not url.startswith("data:")] == [written.as_uri()]
    assert page.complaints == []


@pytest.mark.parametrize("width", [320, 375, 768, 1280])
def test_nothing_is_wider_than_the_window(opened, width):
    page = opened(width=width, height=800)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    beyond = """[...document.body.querySelectorAll("*")].filter(element => {
        const box = element.getBoundingClientRect();
        return box.width && (box.right > innerWidth + .5 || box.left < -.5);
    }).map(element => element.outerHTML.slice(0, 80))"""
    assert page.evaluate(beyond) == []


def test_tab_goes_over_all_links_and_players_and_is_seen(opened):
    page = opened()
    seen = []
    for _ in range(200):
        page.keyboard.press("Tab")
        tag, name, outline, top = page.evaluate("""(() => {
            const element = document.activeElement, style = getComputedStyle(element);
            const name = element.getAttribute("href") || element.getAttribute("aria-label");
            const top = element.getBoundingClientRect().top;
            return [element.tagName, name, style.outlineStyle + style.outlineWidth, top];
        })()""")
        if tag == "BODY":
            break
        if not seen or seen[-1] != name:  # a player has several controls, which the browser marks itself
            assert outline == "solid3px" and 0 <= top < 900
            seen.append(name)
    players = page.evaluate("[...document.querySelectorAll('audio')].map(player => player.getAttribute('aria-label'))")
    parts = [f"#{name}" for name in ("result", "spread", "tables", "examples", "made")]
    assert seen == ["#main", *parts, *players]


def test_skip_link_leads_past_the_head(opened):
    page = opened()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_one_player_at_a_time_from_the_keyboard_and_a_picture(opened):
    page = opened()
    playing = "[...document.querySelectorAll('audio')].flatMap((player, number) => player.paused ? [] : [number])"
    page.locator("audio").nth(0).focus()
    page.keyboard.press("Space")
    page.wait_for_function("() => document.querySelector('audio').currentTime > 0")
    assert page.evaluate(playing) == [0]
    picture = page.locator(".picture").nth(2)
    box = picture.bounding_box()
    picture.click(position={"x": box["width"] * 0.4, "y": 20})
    page.wait_for_function("() => document.querySelectorAll('audio')[2].currentTime > 6")
    assert page.evaluate(playing) == [2]
    assert page.evaluate("document.querySelectorAll('audio')[2].currentTime") == pytest.approx(6, abs=1)
    page.wait_for_function("() => parseFloat(document.querySelectorAll('.cursor')[2].style.left) > 40")
    assert page.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_the_contrast_that_wcag_asks_for(opened, scheme):
    page = opened(scheme=scheme)
    pairs = page.evaluate("""(() => {
        const pairs = new Set(), texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        while (texts.nextNode()) {
            let element = texts.currentNode.parentElement;
            if (!texts.currentNode.data.trim() || element.tagName == "SCRIPT") continue;
            const colour = getComputedStyle(element).color;
            const behind = element => getComputedStyle(element).backgroundColor;
            while (behind(element) == "rgba(0, 0, 0, 0)") element = element.parentElement;
            pairs.add(colour + " on " + behind(element));
        }
        return [...pairs];
    })()""")
    assert len(pairs) >= 5
    for pair in pairs:
        colours = [[int(part) for part in re.findall(r"\d+", colour)] for colour in pair.split(" on ")]
        assert contrast(*colours) >= 4.5, pair


def contrast(one, other):
    """WCAG 2's contrast ratio of two colours, 0 to 255 of red, green and blue."""

    def luminance(colour):
        parts = np.array(colour) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    darker, lighter = sorted([luminance(one), luminance(other)])
    return (lighter + 0.05) / (darker + 0.05)
