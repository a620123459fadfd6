"""evaluation/report.py: the page of an evaluation as a real browser shows it."""

import re
import time

import pytest
from made_up import made_up
from pages import contrast

from evaluation import report


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
def test_opens_quickly_complete_and_asks_for_nothing(opened, written, scheme):
    assert written.stat().st_size < 6e6
    opened().close()  # the browser itself is warm
    began = time.monotonic()
    page = opened(scheme=scheme)
    page.wait_for_function("() => [...document.querySelectorAll('audio')].every(player => player.readyState >= 1)")
    assert time.monotonic() - began < 10  # half a second where nothing else runs
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
