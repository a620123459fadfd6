"""What Linux says of this machine's processor."""

from contextlib import suppress
from functools import cache


@cache
def processor_facts() -> dict[str, str]:
    """Facts about the first core, such as "model name" and "flags", what it can do; none on other systems."""
    facts = {}
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            name, colon, value = line.partition(":")
            if not colon:
                break  # an empty line, after which the next core begins
            facts[name.strip()] = value.strip()
    return facts


def processor_can(*flags: str) -> bool:
    """Whether it can do all of these, by Linux's names."""
    return set(flags) <= set(processor_facts().get("flags", "").split())
