#!/usr/bin/env bash
# Trains on several devices, a process (a rank) on each, until all have ended; Ctrl-C ends them.
set -euo pipefail
# shellcheck source=scripts/launch.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/launch.sh"

usage() {
    cat >&2 <<'END'
usage: bash scripts/run_distribute_train.sh DEVICE_NUM DISTRIBUTE [RANK_TABLE_FILE] [OPTIONS of train.py...]
  DEVICE_NUM       devices of this machine to train on, such as 8
  DISTRIBUTE       1 (or True); to train on one device, take run_standalone_train.sh
  RANK_TABLE_FILE  which devices make which ranks, on Ascend; without it, devices 0, 1, ... and msrun starts them
  in the environment:
  DEVICE_TARGET    Ascend, GPU or CPU; without it, the best that is found
  NODE_NUM         machines, with DEVICE_NUM devices each; start the script on every one of them
  NODE_RANK        number of this machine, from 0
  MASTER_ADDR      address of machine 0; MASTER_PORT: a free port on it (default: 8118)
Every rank writes distribute/rank_N.log in the current folder; that of rank 0 is shown.
example: bash scripts/run_distribute_train.sh 8 1 --train_dir data/tr --valid_dir data/cv --save_folder exp
END
    exit 2
}

fail() {
    echo "error: $1" >&2
    exit "${2:-2}"
}

if (($# < 2)) || ! [[ "$1" =~ ^[1-9][0-9]*$ && "$2" =~ ^(0|1|True|False)$ ]]; then
    usage
fi
device_num="$1"
if [[ "$2" == 0 || "$2" == False ]]; then
    fail "DISTRIBUTE $2: to train on one device, take scripts/run_standalone_train.sh"
fi
shift 2
rank_table=""
if (($#)) && [[ "$1" != --* ]]; then
    rank_table="$1"
    shift
fi
node_num="${NODE_NUM:-1}" node_rank="${NODE_RANK:-0}"
if ! [[ "$node_num" =~ ^[1-9][0-9]*$ && "$node_rank" =~ ^[0-9]+$ ]] || ((node_rank >= node_num)); then
    fail "NODE_NUM=$node_num NODE_RANK=$node_rank: NODE_RANK must be 0 to NODE_NUM - 1"
fi
if ((node_num > 1)) && [[ -z "${MASTER_ADDR:-}" && -z "$rank_table" ]]; then
    fail "NODE_NUM=$node_num: set MASTER_ADDR to the address of machine 0"
fi
options=(--distribute 1 "$@")
if [[ -n "${DEVICE_TARGET:-}" ]]; then
    options+=(--device_target "$DEVICE_TARGET")
fi
devices=() # of this machine, with a rank table: "RANK DEVICE" each
if [[ -n "$rank_table" ]]; then
    if [[ "${DEVICE_TARGET:-Ascend}" != Ascend ]]; then
        fail "$rank_table: a rank table is for Ascend, not for DEVICE_TARGET=$DEVICE_TARGET; leave it out"
    fi
    listed="$("$interpreter" "$root/scripts/rank_table.py" "$rank_table" "$device_num" "$node_num" "$node_rank")" || exit 2
    mapfile -t devices <<<"$listed"
fi

logs="$PWD/distribute"
keep_old distribute
mkdir -- "$logs"
# On the CPU a rank that has waited so long for another one's gradients gives up (MindSpore: 30 s, in which a network may
# not be compiled). Between machines it is also how soon a rank that has vanished is missed, and stays as it is.
if ((node_num == 1)); then
    export MS_NODE_TIMEOUT="${MS_NODE_TIMEOUT:-1800}" # seconds
fi
# MindSpore warns of every connection that it tries before the other ranks are there.
export GLOG_v="${GLOG_v:-3}"

# say_who RANK PROCESS STATUS: name the rank that ended the others.
say_who() {
    local how="ended with status $3"
    if (($3 > 128 || $3 < 0)); then
        how="was killed by signal $(($3 < 0 ? -$3 : $3 - 128))"
    fi
    { grep -h '^error: ' "$logs/rank_$1.log" 2>/dev/null || true; } | head -n 1 >&2
    fail "rank $1 (process $2) $how, so that the others were ended too; see $logs/rank_$1.log. The same command goes\
 on from the last checkpoint" 1
}

# By rank table: a process for each device, with what MindSpore reads to find the others.
start_by_table() {
    local line rank pid status
    RANK_TABLE_FILE="$(realpath -- "$rank_table")"
    export RANK_TABLE_FILE RANK_SIZE=$((device_num * node_num))
    local -A process=()
    trap 'kill -- $(jobs -p) 2>/dev/null || true' EXIT
    for line in "${devices[@]}"; do
        rank="${line% *}"
        RANK_ID="$rank" DEVICE_ID="${line#* }" "$interpreter" -u "$root/train.py" "${options[@]}" \
            >"$logs/rank_$rank.log" 2>&1 </dev/null &
        process[$rank]=$!
    done
    tail -n +1 -F -- "$logs/rank_${devices[0]% *}.log" 2>/dev/null &
    while ((${#process[@]})); do
        sleep 1
        for rank in "${!process[@]}"; do
            pid="${process[$rank]}"
            if ! kill -0 "$pid" 2>/dev/null; then
                status=0
                wait "$pid" || status=$?
                if ((status)); then
                    say_who "$rank" "$pid" "$status"
                fi
                unset "process[$rank]"
            fi
        done
    done
    sleep 1 # for tail
}

# By msrun, which watches the ranks; it knows them by their processes only.
start_by_msrun() {
    local status=0 ended rank python
    python="$(basename -- "$interpreter")"
    if [[ ! "$python" =~ ^python3?$ ]]; then
        fail "PYTHON=$interpreter: msrun starts only what is named python or python3; run scripts/setup_env.sh"
    fi
    local bind=() # each rank to cores of its own, near its card; on the CPU they share the cores
    if [[ "${DEVICE_TARGET:-}" != CPU ]]; then
        bind=(--bind_core=True)
    fi
    PATH="$(dirname -- "$(command -v "$interpreter")"):$PATH"
    export PATH PYTHONUNBUFFERED=1
    "$interpreter" -m mindspore.parallel.cluster.run --worker_num=$((device_num * node_num)) \
        --local_worker_num="$device_num" --node_rank="$node_rank" --master_addr="${MASTER_ADDR:-127.0.0.1}" \
        --master_port="${MASTER_PORT:-8118}" --log_dir="$logs" --worker_log_name=rank --join=True "${bind[@]}" \
        --tail_worker_log=$((device_num * node_rank)) "$python" "$root/train.py" "${options[@]}" 2>"$logs/msrun.log" &
    local msrun=$!
    trap 'kill -INT "$msrun" 2>/dev/null || true; wait "$msrun" || true; exit 130' INT TERM
    while kill -0 "$msrun" 2>/dev/null; do
        sleep 1
        # msrun has ended the other ranks by then, but waits up to half a minute for its scheduler.
        if grep -q 'exit with exception' "$logs/msrun.log"; then
            sleep 1
            pkill -P "$msrun" || true
        fi
    done
    wait "$msrun" || status=$?
    if ((status)); then
        ended="$(sed -n 's/.*Worker process \([0-9]*\) exit with exception. Error code: \(-\{0,1\}[0-9]*\).*/\1 \2/p' \
            "$logs/msrun.log" | head -n 1)"
        if [[ -n "$ended" ]]; then
            rank="$({ grep -l "process ${ended% *}\$" "$logs"/rank_*.log || true; } | sed 's/.*rank_\([0-9]*\)\.log/\1/')"
            if [[ -n "$rank" ]]; then
                say_who "$rank" "${ended% *}" "${ended#* }"
            fi
        fi
        { grep -hs '^error: ' "$logs"/rank_*.log || true; } | sort -u >&2
        fail "a rank ended before it had met the others; see $logs" 1
    fi
}

if ((${#devices[@]})); then
    start_by_table
else
    start_by_msrun
fi
