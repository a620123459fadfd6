"""common/ascend.py: what is asked of MindSpore on a card. None is here; stand-ins note what MindSpore is asked."""

import mindspore as ms
import pytest

from common import ascend
from common.errors import UserError


@pytest.fixture
def asked(monkeypatch):
    """What MindSpore is asked for, in turn."""
    calls = []
    for name in ("precision_mode", "matmul_allow_hf32"):
        monkeypatch.setattr(ascend.op_precision, name, lambda value, name=name: calls.append((name, value)))
    monkeypatch.setattr(ms, "set_context", lambda **values: calls.extend(values.items()))
    return calls


@pytest.mark.parametrize("first, mode", [(False, "must_keep_origin_dtype"), (True, "allow_fp32_to_fp16")])
def test_float32_is_kept_where_the_card_has_it(monkeypatch, asked, first, mode):
    monkeypatch.setattr(ascend, "is_910a", lambda: first)
    ascend.set_up(None, 0)
    assert asked == [("precision_mode", mode), ("matmul_allow_hf32", False)]


def test_options_are_handed_on(monkeypatch, asked):
    monkeypatch.setattr(ascend, "is_910a", lambda: False)
    ascend.set_up("O1", 1)
    assert asked[1:] == [("matmul_allow_hf32", True), ("jit_config", {"jit_level": "O1"})]


def test_a_910a_has_no_hf32(monkeypatch, asked):
    monkeypatch.setattr(ascend, "is_910a", lambda: True)
    with pytest.raises(UserError, match=r"^--hf32 1: an Ascend 910A has no such products"):
        ascend.set_up(None, 1)
    assert not asked


def test_this_machine_is_no_910a():
    assert not ascend.is_910a()
