#!/bin/sh
# Retrain the shipped networks, or (--smoke) prove all chains on made-up ground. Called by ./run; README.md explains.
set -eu
cd "$(dirname "$0")/../.."
PYTHON=${PYTHON:-/usr/bin/python3}
DATA=${TOCSIN_DATA:-../shared/data}
WORK=${TOCSIN_TRAIN_WORK:-build/train}
MINUTES=${TOCSIN_TRAIN_MINUTES:-48}
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" PYTHONDONTWRITEBYTECODE=1
PICKER=models/train/picker SECOND=models/train/second

if [ "${1:-}" = --smoke ]; then
    "$PYTHON" -c 'import numpy, scipy, torch' 2>/dev/null || { echo "train-smoke: needs numpy, scipy and torch"; exit 77; }
    "$PYTHON" $PICKER/train.py --smoke
    "$PYTHON" $SECOND/train_second.py --smoke
    "$PYTHON" models/train/fine_tune.py --smoke
    "$PYTHON" models/train/estimator/train.py --smoke
    exit 0
fi

[ -d "$DATA/picks" ] || { echo "train: no data set at $DATA (set TOCSIN_DATA)" >&2; exit 1; }
mkdir -p "$WORK"
SIMULATOR=${TOCSIN_SIMULATOR:-build/tocsin-sim}
"$PYTHON" $PICKER/pool.py --data "$DATA" --out "$WORK/pool.pkl"
"$PYTHON" $PICKER/sims.py --simulator "$SIMULATOR" --out "$WORK/bank.npz"
crops() { "$PYTHON" $PICKER/crops.py --pool "$WORK/pool.pkl" --bank "$WORK/bank.npz" "$@"; }
crops --out "$WORK/v" --count 1600 --parts 1 --split validate --seed 99
crops --out "$WORK/a" --count 40000 --parts 2 --seed 11
"$PYTHON" $PICKER/train.py --crops "$WORK/a.0" "$WORK/a.1" --validate "$WORK/v.0" --minutes "$((MINUTES / 2))" \
    --batch 64 --resume --out "$WORK/a.pt"
"$PYTHON" $PICKER/mine.py --pool "$WORK/pool.pkl" --net "$WORK/a.pt" --level 0.15 --out "$WORK/mined.pkl"
crops --out "$WORK/b" --count 50000 --parts 2 --seed 21 --mined "$WORK/mined.pkl"
"$PYTHON" $PICKER/train.py --crops "$WORK/b.0" "$WORK/b.1" "$WORK/a.0" --validate "$WORK/v.0" --minutes "$MINUTES" --rate 3e-3 \
    --batch 64 --seed 2 --init "$WORK/a.pt" --resume --out "$WORK/b.pt"
echo "train: to ship: export_picker.py, parity.py, then ./run evaluate --card for the figures"
"$PYTHON" $SECOND/candidates.py --crops "$WORK/b.0" "$WORK/b.1" "$WORK/v.0" --first models/picker/weights.safetensors
"$PYTHON" $SECOND/train_second.py --crops "$WORK/b.0" "$WORK/b.1" --validate "$WORK/v.0" --minutes "$MINUTES" --out "$WORK/second.pt"
"$PYTHON" $SECOND/measure_second.py --pool "$WORK/pool.pkl" --first models/picker/weights.safetensors \
    --second "$WORK/second.pt" --phasenet "$DATA/weights/phasenet" --out "$WORK/second"
echo "train: the second look's figures in $WORK/second.md. To ship: export_second.py with thresholds from there."
"$PYTHON" models/train/domain/fit.py --pool "$WORK/pool.pkl" --cutter build/models/cut_domain --sim build/tocsin-sim \
    --epochs 40 --weights "$WORK/domain_weights.h" >"$WORK/domain.md"
"$PYTHON" models/train/estimator/train.py --data "$DATA" --work "$WORK/estimator" --tools "$WORK/tools" \
    --out "$WORK/estimator.safetensors"
