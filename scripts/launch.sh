# shellcheck shell=bash
# What the launch scripts and run_infer_310.sh share.
root="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." >/dev/null && pwd)"
interpreter="$root/.venv/bin/python"
if [[ ! -x "$interpreter" ]]; then
    interpreter="${PYTHON:-python3}"
fi

# is_device_id TEXT: whether it is the number of a card.
is_device_id() {
    [[ "$1" =~ ^[0-9]+$ ]]
}

# keep_old FILE: give a file that is there the first free name of FILE.1, FILE.2 ...
keep_old() {
    local number=1
    if [[ -e "$1" ]]; then
        while [[ -e "$1.$number" ]]; do
            number=$((number + 1))
        done
        mv -- "$1" "$1.$number"
        echo "the earlier $1 is now $1.$number"
    fi
}

# launch LOG DEVICE_ID SCRIPT [OPTIONS...]: run a script of the checkout in the background, and write what it prints
# to LOG in the current folder. DEVICE_TARGET in the environment chooses Ascend, GPU or CPU.
launch() {
    local log="$1" options=(--device_id "$2") script="$3"
    shift 3
    if [[ -n "${DEVICE_TARGET:-}" ]]; then
        options+=(--device_target "$DEVICE_TARGET")
    fi
    keep_old "$log"
    nohup "$interpreter" -u "$root/$script" "${options[@]}" "$@" >"$log" 2>&1 </dev/null &
    echo "$script runs in the background, PID $!; it writes $PWD/$log"
}
