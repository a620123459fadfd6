"""Check a rank table of Ascend devices, and print a line "RANK DEVICE" for each device of this machine.

    python scripts/rank_table.py RANK_TABLE_FILE DEVICE_NUM NODE_NUM NODE_RANK

The format is HCCL's (hiascend.com, "rank table configuration"): `server_list`, a machine each, with `device`, a list of
`device_id`, `device_ip` and `rank_id`, all strings.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common.errors import UserError, run


def devices_of(path: str | Path, device_num: int, node_num: int, node_rank: int) -> list[tuple[int, int]]:
    """Pairs (rank, device) of machine `node_rank` of a rank table for `node_num` machines of `device_num` devices.

    Raises UserError if the table is no such table.
    """
    try:
        with open(path, encoding="utf-8") as file:
            table = json.load(file)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({error}); make it anew with HCCL's hccl_tools.py") from None
    try:
        machines = [
            [(int(device["rank_id"]), int(device["device_id"])) for device in server["device"]]
            for server in table["server_list"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not a rank table, it lacks a proper {error}; make it anew") from None
    if len(machines) != node_num:
        raise UserError(f"{path}: lists {len(machines)} machines, but NODE_NUM is {node_num}; make them agree")
    for number, machine in enumerate(machines):
        if len(machine) != device_num:
            raise UserError(
                f"{path}: lists {len(machine)} devices of machine {number}, but DEVICE_NUM is {device_num}; make them"
                " agree"
            )
        devices = [device for _, device in machine]
        if len(set(devices)) < device_num or min(devices) < 0:
            raise UserError(f"{path}: machine {number} has the devices {devices}; each must be another, from 0 on")
    ranks = sorted(rank for machine in machines for rank, _ in machine)
    if ranks != list(range(device_num * node_num)):
        raise UserError(f"{path}: has the ranks {ranks}; they must be 0 to {device_num * node_num - 1}, each once")
    return sorted(machines[node_rank])


def main() -> None:
    path, *numbers = sys.argv[1:]
    for rank, device in devices_of(path, *map(int, numbers)):
        print(rank, device)


if __name__ == "__main__":
    run(main)
