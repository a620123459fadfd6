#!/usr/bin/env bash
# Runs all tests; further arguments go to pytest:
#
#     bash scripts/run_tests.sh [-m "not slow"] [-k NAME] ...
set -euo pipefail
# shellcheck source=scripts/setup_env.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/setup_env.sh" requirements.txt requirements/quickstart.txt requirements/test.txt
cd -- "$root"
exec "$python" -m pytest tests "$@"
