"""What export.py writes beside an exported network: FILE.json, whose format its head explains."""

import json

from common.errors import UserError
from common.files import checksum
from common.numbers import is_rate
from network.options import NetworkOptions


def read_facts(path: str) -> dict:
    """The facts beside an exported file, a dict of what the head of export.py lists.

    `network` is made a NetworkOptions. Raises UserError if they are missing or damaged, or describe another file.
    """
    try:
        with open(f"{path}.json", encoding="utf-8") as stream:
            facts = json.load(stream)
        network = NetworkOptions(**facts["network"])
        counts = facts["batch_size"], 1 if facts["length"] is None else facts["length"]
        if any(type(count) is not int or count < 1 for count in counts) or not is_rate(facts["sample_rate"]):
            raise ValueError("no such mixtures")
        if facts["speakers"] != network.C:
            raise ValueError("no such network")
        is_same = facts["sha256"] == checksum(path)
    except OSError as error:
        raise UserError(
            f"{error.filename}: cannot be read ({error.strerror}); export.py writes FILE and FILE.json"
        ) from None
    except (ValueError, TypeError, KeyError, RecursionError, UserError):
        raise UserError(f"{path}.json: damaged, or not from export.py; export the network again") from None
    if not is_same:
        raise UserError(f"{path}.json: is of another file than {path} now is; export the network again")
    return facts | {"network": network}
