"""common/processor.py: the first core's facts, as Linux gives them."""

import builtins
import io

import pytest

from common import processor

CPUINFO = """processor	: 0
model name	: A Processor @ 2.00GHz
flags		: fpu avx2 amx_bf16

processor	: 1
flags		: fpu
"""


@pytest.fixture
def system(monkeypatch):
    """Have the system give this text; None: it has none to give."""

    def give(text):
        def read(*_, **__):
            if text is None:
                raise FileNotFoundError
            return io.StringIO(text)

        monkeypatch.setattr(builtins, "open", read)
        processor.processor_facts.cache_clear()

    yield give
    processor.processor_facts.cache_clear()


def test_facts_are_those_of_the_first_core(system):
    system(CPUINFO)
    assert processor.processor_facts()["model name"] == "A Processor @ 2.00GHz"
    assert processor.processor_can("amx_bf16") and processor.processor_can("fpu", "avx2")
    assert not processor.processor_can("avx2", "amx") and not processor.processor_can("avx")


def test_other_systems_have_none(system):
    system(None)
    assert processor.processor_facts() == {} and not processor.processor_can("avx2")
