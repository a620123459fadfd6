#!/usr/bin/env bash
# Makes the virtual environment .venv in the checkout, or reuses it, and installs requirement files that it lacks:
#
#     bash scripts/setup_env.sh [requirements.txt ...]
#
# The other scripts source it, and find the checkout in $root and the environment's interpreter in $python.
# PYTHON in the environment names the Python to make .venv with.
set -euo pipefail
root="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." >/dev/null && pwd)"
python="$root/.venv/bin/python"
installed="$root/.venv/requirements"

is_suitable() {
    "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' >/dev/null 2>&1
}

make_environment() {
    local candidates=(python3 python3.12 python3.11 python3.10) candidate
    if [[ -n "${PYTHON:-}" ]]; then
        candidates=("$PYTHON")
    fi
    for candidate in "${candidates[@]}"; do
        if is_suitable "$candidate"; then
            echo "making .venv with $candidate"
            "$candidate" -m venv "$root/.venv"
            return
        fi
    done
    echo "error: no Python 3.10 to 3.12 found (tried: ${candidates[*]}); install one, or name it: PYTHON=/path/to/python" >&2
    exit 2
}

# A requirement file is installed as long as the copy that was kept when it was installed equals it.
is_installed() {
    [[ -f "$installed/$1" && "$(<"$installed/$1")" == "$(<"$root/$1")" ]]
}

install_requirements() {
    local file missing=() options=()
    for file in "$@"; do
        is_installed "$file" || missing+=("$file")
        options+=(--requirement "$root/$file")
    done
    if ((${#missing[@]} == 0)); then
        return
    fi
    echo "installing ${missing[*]} into .venv; the first time takes a few minutes"
    "$python" -m pip install --disable-pip-version-check "${options[@]}"
    for file in "$@"; do
        mkdir -p -- "$(dirname -- "$installed/$file")"
        cp -- "$root/$file" "$installed/$file"
    done
}

if ! "$python" -m pip --version >/dev/null 2>&1; then
    make_environment
elif ! is_suitable "$python"; then
    echo "error: $root/.venv: not Python 3.10 to 3.12; move it away, and it is made anew" >&2
    exit 2
fi
install_requirements "$@"
