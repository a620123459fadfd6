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


def test_facts_are_held_to_the_file(tmp_path):
    path = tmp_path / "net.mindir"
    path.write_bytes(b"network")
    facts = {"network": asdict(NetworkOptions()), "sha256": checksum(path)}
    (tmp_path / "net.mindir.json").write_text(json.dumps(facts))
    assert read_facts(str(path)) == facts | {"network": NetworkOptions()}
    path.write_bytes(b"netwprk")
    with pytest.raises(UserError, match="is of another file"):
        read_facts(str(path))
