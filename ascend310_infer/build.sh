#!/usr/bin/env bash
# Builds main, and with MindSpore Lite's Python package also convert, with all warnings as errors:
#
#     bash ascend310_infer/build.sh [BUILD_FOLDER] [OPTIONS of cmake, such as -DSANITIZE=ON ...]
#
# BUILD_FOLDER is ascend310_infer/build without it. MS_LITE_HOME in the environment names an unpacked release of
# MindSpore Lite, or what scripts/setup_lite.sh prints; MINDSPORE_HOME the folder mindspore of an Ascend package up to
# 1.10. Without either, MindSpore Lite is taken where python3 or scripts/setup_lite.sh has it, or else such a package
# that python3 has.
set -euo pipefail
here="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" >/dev/null && pwd)"
build="$here/build"
if (($#)) && [[ "$1" != -* ]]; then
    build="$1"
    shift
fi

# package NAME: folder of a package that python3 has; empty if it has none.
package() {
    python3 - "$1" <<'END'
import importlib.util, sys
spec = importlib.util.find_spec(sys.argv[1])
print(spec.submodule_search_locations[0] if spec else "")
END
}

lite="${MS_LITE_HOME:-}" classic="${MINDSPORE_HOME:-}"
if [[ -z "$lite" && -z "$classic" ]]; then
    cached=("${XDG_CACHE_HOME:-$HOME/.cache}"/conv-tasnet/mindspore-lite-*/mindspore_lite)
    lite="$(package mindspore_lite)"
    classic="$(package mindspore)"
    if [[ -z "$lite" && -d "${cached[0]}" ]]; then
        lite="${cached[0]}"
    elif [[ -z "$lite" && ! -f "$classic/lib/libmindspore.so" ]]; then
        echo "error: no MindSpore for C++ found; set MS_LITE_HOME or MINDSPORE_HOME, or for the CPU run" \
            "bash scripts/setup_lite.sh" >&2
        exit 2
    fi
fi

cmake=cmake
if ! command -v cmake >/dev/null; then
    cmake="$here/../.venv/bin/cmake"
fi
for tool in "$cmake" c++; do
    if ! command -v "$tool" >/dev/null; then
        echo "error: no $(basename -- "$tool"); install it (pip install cmake; a C++17 compiler such as g++)" >&2
        exit 2
    fi
done
"$cmake" -S "$here" -B "$build" -DMS_LITE_HOME="$lite" -DMINDSPORE_HOME="$classic" "$@"
"$cmake" --build "$build" --parallel
