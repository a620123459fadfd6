#!/usr/bin/env bash
# Trains on one device, in the background; train.log in the current folder tells how it goes.
set -euo pipefail
# shellcheck source=scripts/launch.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/launch.sh"

usage() {
    cat >&2 <<'END'
usage: bash scripts/run_standalone_train.sh DEVICE_ID [OPTIONS of train.py...]
  DEVICE_ID      number of the card, such as 0
  DEVICE_TARGET  in the environment: Ascend, GPU or CPU; without it, the best that is found
example: bash scripts/run_standalone_train.sh 0 --train_dir data/tr --valid_dir data/cv --save_folder exp
END
    exit 2
}

if (($# < 1)) || ! is_device_id "$1"; then
    usage
fi
launch train.log "$1" train.py "${@:2}"
