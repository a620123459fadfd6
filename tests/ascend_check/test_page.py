"""ascend_check/page.py: what is too far off is found, and a page without a card says that nothing was run."""

import io
from collections import Counter

import numpy as np
import pytest

from ascend_check import page
from common.errors import UserError


def test_every_number_is_held_to_the_reference_of_its_network():
    reference = {"gLN: loss": np.array([2.0]), "gLN: estimates": np.array([4.0, -1.0])}
    ours = {
        "gLN: loss": np.array([2.001]),
        "gLN: estimates": np.array([4.0, -1.01]),
        "gLN, O2 in float16: loss": np.array([2.09]),
        "gLN, O2 in float16: estimates": np.array([3.0, -1.0]),
    }
    assert page.compared(ours, reference) == [
        ["gLN", "loss", "5.0e-04", "1e-03", "ok"],
        ["gLN", "estimates", "2.5e-03", "1e-03", "too far"],
        ["gLN, O2 in float16", "loss", "4.5e-02", "5e-02", "ok"],
        ["gLN, O2 in float16", "estimates", "2.5e-01", "5e-02", "too far"],
    ]
    assert page.compared({"gLN: loss": np.array([np.nan])}, reference)[0][-1] == "too far"


def test_without_a_card_it_says_that_nothing_is_run(monkeypatch):
    monkeypatch.delenv("DEVICE_TARGET", raising=False)
    monkeypatch.setattr(page, "glob", lambda pattern: [])
    monkeypatch.setattr(page, "chosen", Counter)
    monkeypatch.setattr(page.sys, "stdout", io.TextIOWrapper(io.BytesIO()))
    page.main()
    page.sys.stdout.seek(0)
    said = page.sys.stdout.read()
    assert "mindspore 2." in said and "No Ascend card is here" in said and "nothing is run" in said


def test_a_device_that_cannot_be_used_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"ascend_check.numbers Nonesuch .*: failed with status 2"):
        page.numbers_of("Nonesuch", tmp_path / "numbers.npz")
