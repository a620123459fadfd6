"""ascend310_infer/exported.py: what stands beside an exported network is its own, or one clear line."""

import json
from dataclasses import asdict

import pytest

from ascend310_infer.exported import read_facts
from common.errors import UserError
from common.files import checksum
from network.options import NetworkOptions


@pytest.mark.parametrize(
    "text",
    ["", "[1]", '"text"', "{}", "[" * 100000, '{"network": 3}', '{"network": {"N": 1.5}}', '{"network": {"R": -1}}'],
    ids=lambda text: text[:30],
)
def test_damaged_facts_are_one_line(tmp_path, text):
    (tmp_path / "net.mindir").write_bytes(b"network")
    (tmp_path / "net.mindir.json").write_text(text)
    with pytest.raises(UserError) as error:
        read_facts(str(tmp_path / "net.mindir"))
    assert str(error.value).startswith(f"{tmp_path}/net.mindir.json: damaged, or not from export.py")


@pytest.fixture
def exported(tmp_path):
    """A file that stands for a network, and its facts."""
    path = tmp_path / "net.mindir"
    path.write_bytes(b"network")
    about = {"batch_size": 2, "length": None, "sample_rate": 8000, "speakers": 2}
    return path, about | {"network": asdict(NetworkOptions()), "sha256": checksum(path)}


@pytest.mark.parametrize(
    "change",
    [
        *[{name: value} for name in ("batch_size", "length") for value in (0, -1, 1.5, True, "2", [2])],
        *[{"sample_rate": value} for value in (1, 999, 768_001, 8000.0, "8000", None)],
        *[{"speakers": value} for value in (1, 3, "2", None)],
        *[{"batch_size": None}, {"sha256": 1}, {"network": None}, {"network": {"C": 3}}],
    ],
    ids=str,
)
def test_facts_that_cannot_be_are_one_line(exported, change):
    path, facts = exported
    path.with_suffix(".mindir.json").write_text(json.dumps(facts | change))
    with pytest.raises(UserError, match=r"net\.mindir\.json: (damaged, or not from export\.py|is of another file)"):
        read_facts(str(path))


def test_facts_are_held_to_the_file(exported):
    path, facts = exported
    path.with_suffix(".mindir.json").write_text(json.dumps(facts))
    assert read_facts(str(path)) == facts | {"network": NetworkOptions()}
    path.write_bytes(b"netwprk")
    with pytest.raises(UserError, match="is of another file"):
        read_facts(str(path))
