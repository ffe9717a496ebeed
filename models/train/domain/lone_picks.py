"""P picks where no quake was, through `tocsin replay`: per station-day, and what class they were given.

    lone_picks.py TOCSIN FOLDER...    folders of the data set: *.mseed, stations.txt, events.csv if there was a quake

Counted are picks more than 2 s before the first origin of events.csv (all of the recording without one); the first 10 s of a
recording are the picker's own silence. Station-days are counted over the sensors of stations.txt and that span. A pick is left out
by the associator while `foreign` is at 0.95 or above.
"""
import csv
import json
import os
import subprocess
import sys
import tempfile
from datetime import datetime

LIMIT, SILENCE_S = 0.95, 10.0


def seconds(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def origin_of(folder):
    path = os.path.join(folder, "events.csv")
    if not os.path.exists(path):
        return float("inf")
    with open(path, encoding="utf-8", newline="") as f:
        rows = list(csv.DictReader(f))
    return min(seconds(r["time"] if r["time"].endswith("Z") else r["time"] + "Z") for r in rows) if rows else float("inf")


def replay(tocsin, folder):
    with tempfile.TemporaryDirectory() as scratch:
        picks, estimates = os.path.join(scratch, "p"), os.path.join(scratch, "e")
        subprocess.run([tocsin, "replay", "--out", os.devnull, "--picks", picks, "--estimates", estimates, folder], check=True,
                       stderr=subprocess.DEVNULL)
        load = lambda path: [json.loads(line) for line in open(path, encoding="utf-8")]
        return load(picks), load(estimates)


def spans(folder, until):
    """Seconds of signal of all sensors before `until`, by the record headers (ASCII part of miniSEED 2)."""
    first, last = {}, {}
    for name in os.listdir(folder):
        if not name.endswith(".mseed"):
            continue
        with open(os.path.join(folder, name), "rb") as f:
            data = f.read()
        for at in range(0, len(data) - 48, 512):
            h = data[at:at + 48]
            sid = h[8:20]
            year, day = int.from_bytes(h[20:22], "big"), int.from_bytes(h[22:24], "big")
            t = datetime(year, 1, 1).timestamp() - datetime(1970, 1, 1).timestamp()
            t += (day - 1) * 86400 + h[24] * 3600 + h[25] * 60 + h[26]
            key = (sid[10:12], sid[:7] + sid[7:9])  # a sensor: network, station, place, channel less its component
            first[key] = min(first.get(key, t), t)
            last[key] = max(last.get(key, t), t)
    return sum(max(0.0, min(last[k], until) - first[k] - SILENCE_S) for k in first)


def main():
    tocsin, totals = sys.argv[1], {}
    for folder in sys.argv[2:]:
        until = origin_of(folder) - 2
        picks, estimates = replay(tocsin, folder)
        newest = {e["pick"]: e["foreign"] for e in estimates}
        mine = [p for p in picks if p["phase"] == "P" and seconds(p["time"]) < until]
        days = spans(folder, until) / 86400
        row = (len(mine), sum(p["foreign"] < LIMIT for p in mine), sum(newest.get(p["pick"], p["foreign"]) < LIMIT for p in mine))
        print("%-40s %.3f station-days, %d P picks, %d of them not left out at once, %d not left out in the end; classes %s"
              % (os.path.basename(folder), days, *row, {k: sum(p["domain"] == k for p in mine) for k in {p["domain"] for p in mine}}))
        totals[folder] = (days, *row)
    days = sum(v[0] for v in totals.values())
    print("all: %.3f station-days; P picks a station-day: %s" % (days, ", ".join(
        "%.1f %s" % (sum(v[k] for v in totals.values()) / max(days, 1e-9), name)
        for k, name in ((1, "said"), (2, "not left out at once"), (3, "not left out in the end")))))


if __name__ == "__main__":
    main()
