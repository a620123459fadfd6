"""scripts/rank_table.py: which device is which rank, and tables that are none."""

import json

import pytest

from common.errors import UserError
from scripts.rank_table import devices_of


def table(*machines):
    """A rank table of machines, each a list of (rank, device)."""
    servers = [
        {
            "server_id": f"10.0.0.{number}",
            "device": [
                {"device_id": str(device), "device_ip": f"192.168.{number}.{device}", "rank_id": str(rank)}
                for rank, device in machine
            ],
        }
        for number, machine in enumerate(machines)
    ]
    return json.dumps(
        {"version": "1.0", "server_count": str(len(servers)), "server_list": servers, "status": "completed"}
    )


def test_devices_of_each_machine(tmp_path):
    path = tmp_path / "table.json"
    path.write_text(table([(1, 5), (0, 4)], [(2, 0), (3, 7)]))
    assert devices_of(path, 2, 2, 0) == [(0, 4), (1, 5)]
    assert devices_of(path, 2, 2, 1) == [(2, 0), (3, 7)]


@pytest.mark.parametrize(
    "text, message",
    [
        (None, "cannot be read as JSON"),
        ("{", "cannot be read as JSON"),
        ("[]", "not a rank table"),
        ('{"server_list": [{"device": [{"rank_id": "0"}]}]}', "lacks a proper 'device_id'"),
        (table([(0, 0)]), "lists 1 devices of machine 0, but DEVICE_NUM is 2"),
        (table([(0, 0), (1, 1), (2, 2)]), "lists 3 devices"),
        (table([(0, 0), (1, 1)], [(2, 0), (3, 1)]), "lists 2 machines, but NODE_NUM is 1"),
        (table([(0, 3), (1, 3)]), "has the devices [3, 3]"),
        (table([(0, -1), (1, 0)]), "has the devices [-1, 0]"),
        (table([(0, 0), (2, 1)]), "has the ranks [0, 2]"),
        (table([(0, "a"), (1, 1)]), "not a rank table"),
    ],
)
def test_what_is_no_table_for_two_devices(tmp_path, text, message):
    path = tmp_path / "table.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError) as error:
        devices_of(path, 2, 1, 0)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
