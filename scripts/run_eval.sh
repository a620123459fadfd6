#!/usr/bin/env bash
# Evaluates a checkpoint on one device, in the background; eval.log in the current folder ends with the result, and
# results/ there has a row for each mixture, and a summary.
set -euo pipefail
# shellcheck source=scripts/launch.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/launch.sh"

usage() {
    cat >&2 <<'END'
usage: bash scripts/run_eval.sh DEVICE_ID MODEL_PATH DATA_DIR [OPTIONS of evaluate.py...]
  DEVICE_ID      number of the card, such as 0
  MODEL_PATH     checkpoint, such as exp/best.ckpt
  DATA_DIR       test set, such as data/tt
  DEVICE_TARGET  in the environment: Ascend, GPU or CPU; without it, the best that is found
END
    exit 2
}

if (($# < 3)) || ! is_device_id "$1" || [[ "$2" == -* || "$3" == -* ]]; then
    usage
fi
keep_old results
launch eval.log "$1" evaluate.py --model_path "$2" --data_dir "$3" "${@:4}"
