#!/bin/sh
# run.sh BUILD_DIR [--json FILE]
# The performance table: `bench NAME VALUE UNIT`, and `ratio R vs PEER` where a peer ran in the same run, then what was asked
# of them as a table (tests/bench/table.py has the form of the lines). Nothing here is a test: machines differ and are shared.
# Single thread, one core where taskset allows. TOCSIN_PYTHON: the Python whose packages are the engine's peers.
set -u
cd "$(dirname "$0")/../.."
build=${1:-build}
shift 2>/dev/null || true
python=${TOCSIN_PYTHON:-python3}
OPENBLAS_NUM_THREADS=1
export OPENBLAS_NUM_THREADS
pin=
command -v taskset >/dev/null && taskset -c 0 true 2>/dev/null && pin="taskset -c 0"
data=${TOCSIN_DATA:-$(cd .. && pwd)/shared/data}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT INT TERM

# replay NAME DIR HOP: the daemon's pipeline as fast as one core goes
replay() {
    printf 'metadata: {stations: %s/stations.txt}\npicker: {hop_s: %s}\n' "$2" "$3" >"$scratch/bench.yaml"
    line=$($pin "$build/tocsin" replay -c "$scratch/bench.yaml" --out "$scratch/out" "$2" 2>&1 >/dev/null | tail -n 1)
    times=$(printf '%s' "$line" | sed -n 's/.*(\([0-9]*\) times real time.*/\1/p')
    printf 'bench %s_hop%s %s x_real_time\n' "$1" "$3" "${times:-?}"
}

lines() {
    printf 'machine  %s, %s processors, %s\n' "$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -n 1)" "$(nproc)" "$(date -u +%Y-%m-%d)"
    "$python" tests/bench/engine.py "$build" --data "$data"
    $pin "$build/tests/bench_decode"
    $pin "$build/tests/bench_pipeline" stages
    for run in '1000 100 5' '3000 100 5' '10000 280 5' '10000 100 20'; do
        # shellcheck disable=SC2086
        "$build/tests/bench_pipeline" $run # a thread for packets and two for all else
    done
    "$build/tests/bench_latency" "$build/tocsind" # not pinned: server, daemon and workers
    quake=$data/replay/ridgecrest_2019-07-04
    if [ -d "$quake" ]; then
        for hop in 0.5 0.1; do replay replay_ridgecrest_21_stations_1h "$(cd "$quake" && pwd)" $hop; done
    else
        echo "skipped: the Ridgecrest hour is not on this machine (TOCSIN_DATA)"
    fi
    "$build/tocsin-sim" generate --seed 5 --stations 100 --duration 300 --events 3 --extent 300 "$scratch/made" >/dev/null
    for hop in 0.5 0.1; do replay replay_made_100_stations_5min "$scratch/made" $hop; done
}

lines | tee "$scratch/lines"
"$python" tests/bench/table.py "$scratch/lines" "$@"
