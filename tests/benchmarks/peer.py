"""A peer that notes its options and every line it is asked on, in one file for all of them."""

import json
import os
import sys

name = os.environ.get("NAME", "peer")
with open(os.environ["LOG"], "a", buffering=1) as log:
    print(name, os.getpid(), *sys.argv[1:], file=log)
    print(json.dumps({"ready": True, "parameters": 7}), flush=True)
    for number, _ in enumerate(sys.stdin):
        print(name, number, file=log)
        print(json.dumps({"seconds": 0.5 + number}), flush=True)
    print(name, "ends", file=log)
