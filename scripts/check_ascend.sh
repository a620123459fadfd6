#!/usr/bin/env bash
# Checks what an Ascend card computes, exports and takes, beside this machine's CPU, and prints a page to read or to send.
# Without a card it compiles the graphs for one, on stand-ins for CANN, and prints the kernels that MindSpore chooses.
set -euo pipefail
if (($#)); then
    cat >&2 <<'END'
usage: bash scripts/check_ascend.sh (it takes no options)
  DEVICE_ID      in the environment: number of the card; without it, 0
  DEVICE_TARGET  in the environment: the device to check, Ascend, GPU or CPU; without it, an Ascend card if there is one
END
    exit 2
fi
# shellcheck source=scripts/setup_env.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/setup_env.sh" requirements.txt
cd -- "$root"
exec "$python" -m ascend_check.page
