"""evaluation/report.py: what stands in the page of an evaluation."""

import os
import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from made_up import MARKUP, RATE, made_up
from pages import Page

from common.errors import UserError
from evaluation import report
from evaluation.report import Example


def checked(scores, summary, examples):
    """The page, once all is found that every page must have."""
    page = Page(report.page(scores, summary, examples))
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
    scores, summary, examples = made_up(silent=(5, 6))
    page = checked(scores, summary, examples)
    improvements = [each.means["si_snr"].improvement for each in scores if not each.silent]
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
    first = scores[0]
    assert f"Best: +{first.means['si_snr'].improvement:.2f} dB" in page.text
    assert re.search(rf"SI-SNR from \S{{4,6}} to {first.sources['si_snr'].estimate[0]:.2f} dB · SDR from", page.text)


def test_names_are_text_and_not_html():
    page = checked(*made_up(3))
    assert f"{MARKUP} 0" in page.text


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
    scores, summary, examples = made_up(4, silent=(0,))
    nothing = Example("silent", scores[0], np.zeros(800), np.zeros((2, 800)), np.zeros((2, 800)), RATE)
    page = checked(scores, summary, [*examples, nothing])
    assert "no SI-SNR: the mixture or a source is silent" in page.text and "Nothing was measured" in page.text
    assert len(page.all("audio")) == 4 * 5


def test_a_single_mixture_of_a_single_sample_has_no_spread():
    scores, summary, _ = made_up(1)
    example = Example("only", scores[0], np.ones(1), np.ones((2, 1)), np.ones((2, 1)), RATE)
    page = checked(scores, summary, [example])
    assert "Separation of 1 mixture" in page.text and "From mixture to mixture" not in page.text
    assert "±" not in page.text.rsplit("How this was made", 1)[0]


def test_only_silence_has_no_charts():
    page = checked(*made_up(2, silent=(0, 1)))
    assert "From mixture to mixture" not in page.text and len(page.all("audio")) == 10


def test_other_metrics_have_their_digits():
    scores, summary, examples = made_up(4, metrics=("si_snr", "stoi", "pesq"))
    page = checked(scores, summary, examples)
    assert f"STOI improvement+{summary['all']['stoi']['improvement']['mean']:.3f}" in page.text
    assert f"PESQ improvement+{summary['all']['pesq']['improvement']['mean']:.2f}" in page.text


def test_long_examples_are_cut_and_say_so():
    page = checked(*made_up(1, seconds=15.5))
    assert "the first 15 s of it here" in page.text
    assert "of 15.0 s" in page.all("img")[-1]["alt"]


def test_page_is_written_whole_or_not_at_all(tmp_path):
    with pytest.raises(UserError, match=r"report\.html"):
        report.write_report(str(tmp_path / "no" / "report.html"), *made_up(1))
    report.write_report(str(tmp_path / "report.html"), *made_up(1))
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_name_that_is_not_utf8_is_shown(tmp_path):
    scores, summary, examples = made_up(2)
    named = [replace(each, name=os.fsdecode(b"caf\xe9")) for each in scores]
    examples = [replace(each, scores=own) for each, own in zip(examples, named, strict=False)]
    report.write_report(tmp_path / "report.html", named, summary, examples)
    assert "caf\\udce9" in Page((tmp_path / "report.html").read_text(encoding="utf-8")).text
