#!/usr/bin/env bash
# Separates a test set with the C++ program of ascend310_infer/ and scores it: cuts the mixtures into pieces, builds the
# program, runs it, joins the pieces, and ends with the average SI-SNR improvement. All goes into infer_310/ in the
# current folder.
set -euo pipefail
# shellcheck source=scripts/launch.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/launch.sh"

usage() {
    cat >&2 <<'END'
usage: bash scripts/run_infer_310.sh MINDIR_PATH TEST_PATH NEED_PREPROCESS [DEVICE_ID]
  MINDIR_PATH      file of export.py of one --length; for the CPU its ONNX file, which is converted on the way
  TEST_PATH        test set, such as index/tt
  NEED_PREPROCESS  y: cut the test set into infer_310/pieces; n: take what an earlier run cut
  DEVICE_ID        number of the card (default: 0)
  DEVICE_TARGET    in the environment: Ascend (default) or CPU
END
    exit 2
}

fail() {
    echo "error: $1" >&2
    exit 2
}

if (($# < 3 || $# > 4)) || [[ "$3" != [yn] ]] || ! is_device_id "${4:-0}"; then
    usage
fi
model="$1" test_set="$2" need_preprocess="$3" device_id="${4:-0}" device="${DEVICE_TARGET:-Ascend}"
if [[ "$device" != Ascend && "$device" != CPU ]]; then
    fail "DEVICE_TARGET=$device: must be Ascend or CPU"
fi
if [[ ! -f "$model" ]]; then
    fail "$model: no such file; export.py writes one"
fi
work="infer_310" build="infer_310/build-$device"
mkdir -p "$work"

if [[ "$need_preprocess" == y ]]; then
    keep_old "$work/pieces"
    PYTHONPATH="$root" "$interpreter" -m ascend310_infer.cut_pieces --model_file "$model" --data_dir "$test_set" --pieces_dir "$work/pieces"
fi

if [[ "$device" == CPU && -z "${MS_LITE_HOME:-}" ]]; then
    MS_LITE_HOME="$(bash "$root/scripts/setup_lite.sh")"
    export MS_LITE_HOME
fi
bash "$root/ascend310_infer/build.sh" "$build" >"$work/build.log" || fail "the program cannot be built; see $work/build.log"

program_model="$model"
if [[ "$model" == *.onnx ]]; then
    if [[ ! -x "$build/convert" ]]; then
        fail "$model: this MindSpore has no converter of ONNX; give the MindIR file of export.py"
    fi
    rm -f "$work/model.mindir" # which the converter writes read-only
    GLOG_v="${GLOG_v:-4}" "$build/convert" "$model" "$work/model" >/dev/null
    cp -- "$model.json" "$work/model.mindir.json"
    program_model="$work/model.mindir"
fi

keep_old "$work/estimates"
"$build/main" --model "$program_model" --input "$work/pieces" --output "$work/estimates" --device_type "$device" \
    --device_id "$device_id"
PYTHONPATH="$root" "$interpreter" -m ascend310_infer.join_pieces --model_file "$model" --data_dir "$test_set" \
    --pieces_dir "$work/pieces" --estimates_dir "$work/estimates" --csv "$work/results.csv"
