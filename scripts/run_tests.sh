#!/usr/bin/env bash
# Runs the tests:
#
#     bash scripts/run_tests.sh              those that finish in 12 minutes on two cores
#     bash scripts/run_tests.sh --all        all of them
#     bash scripts/run_tests.sh OPTIONS...   those of all that pytest's options choose: -k NAME, -m "not slow", -x ...
set -euo pipefail
# shellcheck source=scripts/setup_env.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/setup_env.sh" requirements.txt requirements/quickstart.txt requirements/test.txt
cd -- "$root"
if (($#)) && [[ "$1" != --all ]]; then
    exec "$python" -m pytest "$@"
fi
speed=" and not slow"
if (($#)); then
    speed=""
    shift
fi
# Most tests spend their time in the compiler, which has one thread. Those that measure come after, one at a time.
together=(--numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder)
status=0
"$python" -m pytest "${together[@]}" -m "not alone$speed" "$@" || status=$?
if ((status > 1)); then # interrupted, or an error of pytest's own
    exit "$status"
fi
"$python" -m pytest -m "alone$speed" "$@"
if ((status)); then
    echo "error: tests failed before these; see above" >&2
fi
exit "$status"
