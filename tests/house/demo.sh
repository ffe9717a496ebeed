#!/bin/sh
# Play an earthquake from a SeedLink server through tocsind to a subscriber, at real pace, and tell the story.
# Exit 0 only when it was alerted. Nothing leaves the machine, nothing stays behind.
set -u

usage() {
    cat <<'EOT'
usage: demo.sh BUILD_DIR [options]
  --seed N        another network, another earthquake (20)
  --magnitude M   of the earthquake (6.2)
  --stations N    on about 150 km (24)
  --keep          leave the scratch directory (data, configuration, logs, alerts.jsonl), and say where it is
EOT
}

ORIGIN_S=25       # after the start: the pickers want 10 s of signal first
FINAL_S=40        # the daemon's last word, after the origin
UNTIL_S=46        # ... and ours, if that did not come

build=
seed=20
magnitude=6.2
stations=24
keep=
while [ $# -gt 0 ]; do
    case $1 in
        --seed|--magnitude|--stations)
            [ $# -ge 2 ] || { usage >&2; exit 2; }
            case $1 in --seed) seed=$2 ;; --magnitude) magnitude=$2 ;; *) stations=$2 ;; esac
            shift ;;
        --keep) keep=1 ;;
        -h|--help) usage; exit 0 ;;
        -*) usage >&2; exit 2 ;;
        *) [ -z "$build" ] || { usage >&2; exit 2; }
           build=$1 ;;
    esac
    shift
done
[ -n "$build" ] || { usage >&2; exit 2; }
build=$(cd "$build" && pwd) || exit 2
for program in tocsind tocsin-sim tocsin-story; do
    [ -x "$build/$program" ] || { echo "demo: $build/$program is missing; ./run build makes it" >&2; exit 2; }
done

scratch=
pids=
# Whatever happens: what we started is stopped, what we wrote is removed.
finish() {
    trap - EXIT HUP INT TERM
    for pid in $pids; do kill -TERM "$pid" 2>/dev/null; done
    for pid in $pids; do wait "$pid" 2>/dev/null; done
    if [ -n "$scratch" ]; then
        if [ -n "$keep" ]; then echo "demo: kept $scratch"; else rm -rf "$scratch"; fi
    fi
}
trap finish EXIT
trap 'finish; exit 129' HUP
trap 'finish; exit 130' INT
trap 'finish; exit 143' TERM

scratch=$(mktemp -d "${TMPDIR:-/tmp}/tocsin-demo.XXXXXX") || exit 1

# fail TEXT: and what the programs had to say
fail() {
    echo "demo: $1" >&2
    for log in server.log tocsind.log; do
        [ -s "$scratch/$log" ] || continue
        echo "---- the end of $log" >&2
        tail -n 40 "$scratch/$log" >&2
    done
    exit 1
}

"$build/tocsin-sim" generate --seed "$seed" --magnitude "$magnitude" --stations "$stations" \
    --origin $ORIGIN_S --duration 85 --extent 150 --packet 1 --delay "$scratch/quake" >"$scratch/generate.log" ||
    fail "no scenario"
targets=$("$build/tocsin-story" targets "$scratch/quake") || fail "no targets"

# The server takes a free port, and moves the recording so that it begins now.
"$build/tocsin-sim" serve --now "$scratch/quake" >"$scratch/server.log" 2>&1 &
server=$!
pids=$server
said=
tries=0
while [ -z "$said" ] && [ $tries -lt 100 ]; do
    kill -0 $server 2>/dev/null || fail "the SeedLink server did not start"
    said=$(sed -n 's/^listening on 127\.0\.0\.1:\([0-9]*\), .* moved by \([-0-9.]*\) s$/\1 \2/p' "$scratch/server.log")
    tries=$((tries + 1))
    [ -n "$said" ] || sleep 0.1
done
[ -n "$said" ] || fail "the SeedLink server does not listen"
port=${said% *}
moved=${said#* }

cat >"$scratch/tocsin.yaml" <<EOT
daemon:
  name: demo
  status: exercise
feeds:
  - {type: seedlink, host: 127.0.0.1, port: $port}
metadata:
  stations: quake/stations.txt
alert:
  final_after_s: $FINAL_S
targets:
$targets
output:
  socket: $scratch/alerts.sock
control:
  socket: $scratch/control.sock
EOT
unset NOTIFY_SOCKET JOURNAL_STREAM
"$build/tocsind" -c "$scratch/tocsin.yaml" >"$scratch/tocsind.log" 2>&1 &
daemon=$!
pids="$daemon $pids"

echo "A made-up earthquake (seed $seed): $stations stations on 150 km, packets of 1 s with real delays,"
echo "SeedLink server on port $port -> tocsind -> this subscriber. Status: exercise. It takes about 70 s."
echo "Seconds count from the origin. Only this teller knows the truth; the daemon has the stream alone."
echo
"$build/tocsin-story" tell --socket "$scratch/alerts.sock" --moved "$moved" --until $UNTIL_S \
    --save "$scratch/alerts.jsonl" "$scratch/quake" &
story=$!
pids="$story $pids"
wait $story
status=$?
pids="$daemon $server"
kill -0 $daemon 2>/dev/null || fail "tocsind is gone"
[ $status -eq 0 ] || fail "the story did not end well"
exit 0
