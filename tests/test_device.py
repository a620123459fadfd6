"""device.py: the device is set, or refused in one line."""

import mindspore as ms
import pytest

from device import set_device
from errors import UserError


def test_cpu_in_graph_mode(monkeypatch):
    monkeypatch.setenv("DEVICE_ID", "3")  # a number of a card means nothing to the CPU
    assert set_device("CPU") == "CPU"
    assert ms.get_context("mode") == ms.GRAPH_MODE


def test_device_that_is_not_there():
    if ms.get_context("device_target") != "CPU":
        pytest.skip("has an accelerator")
    with pytest.raises(UserError) as error:
        set_device("Ascend")
    assert str(error.value).startswith("--device_target Ascend: ")
    assert "\n" not in str(error.value)


def test_number_that_is_none(monkeypatch):
    monkeypatch.setenv("DEVICE_ID", "first")
    with pytest.raises(UserError, match="DEVICE_ID"):
        set_device("CPU")
