"""Replay a real earthquake and hold the outcome against its golden file.

usage: replay.py TOCSIN GOLDEN.json [--data DIR] [--once]

Runs `tocsin replay` twice (byte-identical or it fails), then checks what must hold (alerts, places, times, silence
before the first quake) and that nothing moved further from the golden figures than their tolerance. Exit 0, 1 (failed) or
77 (the recordings are not on this machine).
"""
import argparse
import csv
import datetime
import json
import math
import os
import subprocess
import sys
import tempfile


def seconds(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def distance_km(lat1, lon1, lat2, lon2):
    radians = math.pi / 180
    a = (math.sin((lat2 - lat1) * radians / 2) ** 2
         + math.cos(lat1 * radians) * math.cos(lat2 * radians) * math.sin((lon2 - lon1) * radians / 2) ** 2)
    return 2 * 6371.0 * math.asin(math.sqrt(a))


def run(tocsin, directory, scratch, name):
    out, picks = os.path.join(scratch, name + ".jsonl"), os.path.join(scratch, name + ".picks.jsonl")
    code = subprocess.call([tocsin, "replay", "--out", out, "--picks", picks, directory])
    if code != 0:
        sys.exit("replay ended with %d" % code)
    return out, picks


def lines(path):
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def same(a, b):
    with open(a, "rb") as x, open(b, "rb") as y:
        return x.read() == y.read()


def matching(messages, quake):
    """Events whose latest origin lies within 100 km and 30 s of the truth (the field's matching rule)."""
    last = {}
    for m in messages:
        if m["type"] != "heartbeat":
            last[m["event"]] = m
    truth = seconds(quake["origin_time"])
    return [e for e, m in last.items()
            if abs(seconds(m["origin_time"]) - truth) < 30
            and distance_km(m["latitude"], m["longitude"], quake["latitude"], quake["longitude"]) < 100]


def outcome(messages, quake):
    """What was said of one quake: first alert and last word."""
    events = matching(messages, quake)
    said = [m for m in messages if m.get("event") in events]
    alerts = [m for m in said if m["type"] == "alert"]
    if not alerts:
        return None
    first = alerts[0]
    story = [m for m in said if m["event"] == first["event"] and m["type"] in ("alert", "update", "final")]
    last, truth = story[-1], seconds(quake["origin_time"])
    return {
        "first_alert_s": round(seconds(first["issued"]) - truth, 2),
        "first_magnitude": first["magnitude"], "first_sigma": first["magnitude_sigma"],
        "first_km": round(distance_km(first["latitude"], first["longitude"], quake["latitude"], quake["longitude"]), 1),
        "last_magnitude": last["magnitude"], "last_sigma": last["magnitude_sigma"],
        "at_least": last["magnitude_at_least"],
        "last_km": round(distance_km(last["latitude"], last["longitude"], quake["latitude"], quake["longitude"]), 1),
        "last_depth_km": last["depth_km"], "messages": len(story), "alerted_events": len({m["event"] for m in alerts}),
    }


def read_catalogue(directory):
    with open(os.path.join(directory, "events.csv"), encoding="utf-8", newline="") as f:
        return [{"origin_time": r["time"], "latitude": float(r["lat"]), "longitude": float(r["lon"])}
                for r in csv.DictReader(f)]


class Verdict:
    def __init__(self):
        self.bad = 0

    def say(self, ok, text):
        print("[%s] %s" % ("  ok  " if ok else "FAILED", text))
        self.bad += not ok


def check_quake(v, messages, quake):
    seen = outcome(messages, quake)
    v.say(seen is not None, "%s: alerted" % quake["name"])
    if not seen:
        return
    print("         %s" % json.dumps(seen))
    v.say(seen["last_km"] <= quake["max_km"], "%s: last place %.1f km from the catalogue's (limit %g)"
          % (quake["name"], seen["last_km"], quake["max_km"]))
    if "max_first_alert_s" in quake:
        v.say(seen["first_alert_s"] <= quake["max_first_alert_s"], "%s: first alert %.2f s after origin (limit %g)"
              % (quake["name"], seen["first_alert_s"], quake["max_first_alert_s"]))
    v.say(seen["alerted_events"] == 1, "%s: one event alerted, not %d" % (quake["name"], seen["alerted_events"]))
    for key, (value, tolerance) in quake.get("golden", {}).items():
        v.say(abs(seen[key] - value) <= tolerance, "%s: %s %s, golden %s +- %s"
              % (quake["name"], key, seen[key], value, tolerance))


def check_silence(v, messages, golden, catalogue):
    alerts = [m for m in messages if m["type"] == "alert"]
    early = [m for m in alerts if seconds(m["issued"]) < seconds(golden["no_alert_before"])]
    v.say(not early, "no alert before %s (%d)" % (golden["no_alert_before"], len(early)))
    known = {event for q in golden["quakes"] + catalogue for event in matching(messages, q)}
    stray = [m for m in alerts if m["event"] not in known]
    for m in stray:
        print("         stray alert: M%s at %s %s,%s" % (m["magnitude"], m["origin_time"], m["latitude"], m["longitude"]))
    v.say(len(stray) <= golden["max_stray_alerts"], "%d alerts without a catalogued quake (limit %d)"
          % (len(stray), golden["max_stray_alerts"]))


def main():
    args = argparse.ArgumentParser()
    args.add_argument("tocsin")
    args.add_argument("golden")
    args.add_argument("--data", default=os.environ.get("TOCSIN_DATA", ""))
    args.add_argument("--once", action="store_true", help="skip the second run (sanitizers are slow)")
    a = args.parse_args()
    with open(a.golden, encoding="utf-8") as f:
        golden = json.load(f)
    directory = os.path.join(a.data, "replay", golden["set"])
    if not a.data or not os.path.isdir(directory):
        print("skipped: no recordings of %s here (TOCSIN_DATA)" % golden["set"])
        return 77
    v = Verdict()
    with tempfile.TemporaryDirectory() as scratch:
        first, picks = run(a.tocsin, directory, scratch, "first")
        if not a.once:
            second, picks2 = run(a.tocsin, directory, scratch, "second")
            v.say(same(first, second) and same(picks, picks2), "two runs give identical bytes")
        messages = lines(first)
        print("         %d picks, %d messages" % (len(lines(picks)), len(messages)))
    for quake in golden["quakes"]:
        check_quake(v, messages, quake)
    check_silence(v, messages, golden, read_catalogue(directory))
    return 1 if v.bad else 0


if __name__ == "__main__":
    sys.exit(main())
