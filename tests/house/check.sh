#!/bin/sh
# Run every test of a build directory and count. Last line: `N passed, N failed`.
set -u
cd "$(dirname "$0")/../.."
build=${1:-build}
shift 2>/dev/null || true
meson test -C "$build" --no-rebuild --print-errorlogs "$@"
python3 tests/house/count.py "$build/meson-logs/testlog.json"
