"""Real records for the estimator: waveforms in SI units with onset, magnitude and distance, from the developers' data.

Reads miniSEED only through the runtime's decoder (dump_mseed) and keeps the gain as the station file states it: where
there is none the record serves S-P alone. Onsets come from the set where it has them, else from the automatic picker
below (STA/LTA near the expected time, then AIC); both are automatic and late or wrong now and then.

A record is a dict: enz float32 [n, 3] (NAN: component missing), rate, start_ns, onset_ns, acceleration, gain_known, clip,
magnitude, km (hypocentral), s_minus_p (s), sp_observed, event, region, station, split ("train", "heldout" or "internal").
"""

import csv
import os
import subprocess

import numpy as np
from scipy.signal import butter, sosfilt

HEAD = np.dtype([("sid", "S48"), ("start", "<i8"), ("rate", "<f8"), ("n", "<u8")])
NS = 1_000_000_000
CLIP_COUNTS = 6710886.4  # the shipped clip_counts: 80 % of 2^23
LEAD_S, TAIL_S = 90, 25
SP_RATIO = 0.73          # ts - tp = (vp/vs - 1) tp, vp/vs 1.73
# Replay acceptance tests and everything of the same quakes: never trained on.
INTERNAL = ("crl", "telica")  # their terms allow to report on them, not to train
HELD_OUT = ("pleasant_hill_2019-10-15", "gm_ci38443183", "gm_ci38445975")
RIDGECREST_TRAIN_END = "2019-07-04T17:30:00"


def to_ns(text):
    return int(np.datetime64(text.strip().rstrip("Z").replace(" ", "T"), "ns").astype("int64"))


def read_mseed(path, tool):
    """{sid: [(start_ns, rate, samples), ...]} with contiguous records joined."""
    raw = subprocess.run([tool], stdin=open(path, "rb"), stdout=subprocess.PIPE, check=True).stdout
    pieces, at = {}, 0
    while at < len(raw):
        head = np.frombuffer(raw, HEAD, 1, at)[0]
        at += HEAD.itemsize
        n = int(head["n"])
        pieces.setdefault(head["sid"].decode(), []).append(
            (int(head["start"]), float(head["rate"]), np.frombuffer(raw, "<f4", n, at)))
        at += 4 * n
    return {sid: join(sorted(parts, key=lambda part: part[0])) for sid, parts in pieces.items()}


def join(parts):
    out = []
    for start, rate, samples in parts:
        if out:
            start0, rate0, chunk, n = out[-1]
            expected = start0 + n * NS / rate0
            if rate == rate0 and abs(start - expected) < 0.5 * NS / rate:
                chunk.append(samples)
                out[-1] = (start0, rate0, chunk, n + len(samples))
                continue
        out.append((start, rate, [samples], len(samples)))
    return [(start, rate, np.concatenate(chunk)) for start, rate, chunk, _ in out]


def read_stations(path):
    """{sid: dict(lat, lon, depth_m, dip, scale, acceleration)}; scale NAN unknown."""
    stations = {}
    for line in open(path):
        if line.startswith("#") or not line.strip():
            continue
        f = line.rstrip("\n").split("|")
        sid = "FDSN:%s_%s_%s_%s_%s_%s" % (f[0], f[1], f[2], f[3][0], f[3][1], f[3][2])
        number = lambda text: float(text) if text else float("nan")
        stations[sid] = {"lat": number(f[4]), "lon": number(f[5]), "dip": number(f[9]), "scale": number(f[11]),
                         "acceleration": f[13].upper() == "M/S**2"}
    return stations


def km_between(lat1, lon1, lat2, lon2):
    p1, p2 = np.radians(lat1), np.radians(lat2)
    h = np.sin((p2 - p1) / 2) ** 2 + np.cos(p1) * np.cos(p2) * np.sin(np.radians(lon2 - lon1) / 2) ** 2
    return 6371.0 * 2 * np.arcsin(np.sqrt(h))


def read_csv(path):
    with open(path) as file:
        return list(csv.DictReader(file))


def groups_of(stations):
    """{group sid: [E, N, Z channel sid or None]}: Z is the steep one, the order of the horizontals does not matter."""
    groups = {}
    for sid, place in stations.items():
        groups.setdefault(sid[:-2], []).append(sid)
    out = {}
    for group, sids in groups.items():
        steep = [s for s in sids if abs(stations[s]["dip"]) > 45] or [s for s in sids if s[-1] in "Z3"]
        flat = [s for s in sids if s not in steep]
        if steep:
            out[group] = (flat + [None, None])[:2] + [steep[0]]
    return out


def cut(waves, sids, stations, onset_ns, lead_s=LEAD_S):
    """(enz, rate, start_ns) around the onset in SI (counts without gain), offset removed; None without the vertical."""
    segments = []
    for sid in sids:
        found = [s for s in waves.get(sid, []) if sid and s[0] < onset_ns - NS and
                 s[0] + len(s[2]) * NS / s[1] > onset_ns + NS]
        segments.append(found[0] if found else None)
    if segments[2] is None:
        return None
    rate = segments[2][1]
    start = max(segments[2][0], onset_ns - lead_s * NS)
    n = int(min((segments[2][0] - start) * rate / NS + len(segments[2][2]), (onset_ns + TAIL_S * NS - start) * rate / NS))
    enz = np.full((n, 3), np.nan, "f4")
    for k, segment in enumerate(segments):
        if segment is None or segment[1] != rate:
            continue
        first = int(round((start - segment[0]) * rate / NS))
        if first < 0:
            continue
        wave = segment[2][first:first + n].astype("f8")
        before = wave[:max(int((onset_ns - start) * rate / NS), 1)]
        scale = stations[sids[k]]["scale"]
        if len(wave) == n:
            enz[:, k] = (wave - np.mean(before)) / (scale if np.isfinite(scale) else 1.0)
    if np.isnan(enz[0, 2]):
        return None
    return enz, rate, start


def aic_onset(enz, rate, near, half_s):
    """Sample of the onset within half_s of `near`, and its SNR in dB; None when nothing stands out."""
    x = np.nan_to_num(enz[:, 2].astype("f8"))
    sos = butter(2, [1.0, min(15.0, 0.4 * rate)], "band", fs=rate, output="sos")
    x = sosfilt(sos, x - x[0])
    a, b = max(int(near - half_s * rate), int(12 * rate)), min(int(near + half_s * rate), len(x) - int(2 * rate))
    if b - a < rate:
        return None
    power = np.cumsum(np.concatenate([[0], x ** 2]))
    sta, lta = int(0.5 * rate), int(10 * rate)
    i = np.arange(a, b)
    ratio = (power[i + sta] - power[i]) / sta / np.maximum((power[i] - power[i - lta]) / lta, 1e-300)
    over = np.flatnonzero(ratio > max(0.25 * ratio.max(), 9))
    if not len(over):
        return None
    trigger = a + over[0]
    lo, hi = trigger - int(1.5 * rate), trigger + int(0.7 * rate)
    y = x[lo:hi]
    k = np.arange(5, len(y) - 5)
    s1, s2 = np.cumsum(y ** 2), np.cumsum(y[::-1] ** 2)[::-1]
    aic = k * np.log(s1[k - 1] / k + 1e-300) + (len(y) - k) * np.log(s2[k] / (len(y) - k) + 1e-300)
    onset = lo + int(k[np.argmin(aic)])
    noise = np.sqrt(np.mean(x[onset - int(5 * rate):onset - int(0.3 * rate)] ** 2))
    signal = np.sqrt(np.mean(x[onset:onset + int(2 * rate)] ** 2))
    return onset, 20 * np.log10(signal / max(noise, 1e-300))


def p_travel_s(km):
    """Straight ray in the crust, then along the mantle: good to some 10 %, enough to look near."""
    return min(km / 5.9, km / 7.9 + 6.0)


def make(group, found, stations, sids, onset_ns, **labels):
    enz, rate, start = found
    place = stations[sids[2]]
    gain_known = bool(np.isfinite(place["scale"]))
    record = {"enz": enz, "rate": rate, "start_ns": start, "onset_ns": onset_ns, "acceleration": place["acceleration"],
              "gain_known": gain_known, "clip": abs(CLIP_COUNTS / place["scale"]) if gain_known else np.inf,
              "magnitude": np.nan, "km": np.nan, "s_minus_p": np.nan, "sp_observed": False, "station": group}
    record.update(labels)
    return record


def ridgecrest(root, tool):
    base = os.path.join(root, "replay", "ridgecrest_2019-07-04")
    stations = read_stations(os.path.join(base, "stations.txt"))
    events = {e["time"]: e for e in read_csv(os.path.join(base, "events.csv"))}
    waves = read_mseed(os.path.join(base, "waveforms.mseed"), tool)
    groups = groups_of(stations)
    for pick in read_csv(os.path.join(base, "picks.csv")):
        if pick["use"] != "1" or float(pick["other_event_within_s"]) < 12:
            continue
        group = "FDSN:%s_%s_%s_%s_%s" % (pick["network"], pick["station"], pick["location"], pick["channel"][0],
                                         pick["channel"][1])
        onset, event = to_ns(pick["time"]), events[pick["event_time"]]
        found = cut(waves, groups[group], stations, onset)
        if found is None:
            continue
        km = float(np.hypot(float(pick["epi_km"]), float(event["depth_km"])))
        yield make(group, found, stations, groups[group], onset, magnitude=float(event["mag"]), km=km,
                   s_minus_p=SP_RATIO * km / 5.9, event=pick["event_time"], region="ridgecrest",
                   split="train" if pick["event_time"] < RIDGECREST_TRAIN_END else "heldout",
                   geophone=pick["network"] == "PB", clip_suspect=pick["clip_suspect"] == "1")


def one_event_set(root, name, tool, region, least_db):
    """gm_*, pleasant_hill, openeew: one quake, no picks."""
    base = os.path.join(root, "replay", name)
    stations = read_stations(os.path.join(base, "stations.txt"))
    event = read_csv(os.path.join(base, "events.csv"))[0]
    origin = to_ns(event["time"])
    depth = float(event["depth_km"] or 20.0)
    waves = read_mseed(os.path.join(base, "waveforms.mseed"), tool)
    for group, sids in groups_of(stations).items():
        place = stations[sids[2]]
        km = float(np.hypot(km_between(float(event["lat"]), float(event["lon"]), place["lat"], place["lon"]), depth))
        expected = origin + int(p_travel_s(km) * NS)
        found = cut(waves, sids, stations, expected, lead_s=60)
        if found is None:
            continue
        enz, rate, start = found
        pick = aic_onset(enz, rate, (expected - start) * rate / NS, 2.0 + 0.15 * p_travel_s(km))
        if pick is None or pick[1] < least_db:
            continue
        onset = start + int(pick[0] * NS / rate)
        yield make(group, found, stations, sids, onset, magnitude=float(event["mag"]), km=km,
                   s_minus_p=SP_RATIO * (onset - origin) / NS, event=event["time"], region=region,
                   split="heldout" if name in HELD_OUT else "train", snr_db=pick[1])


def split_of(name):
    return "internal" if name.startswith(INTERNAL) else "train"


def windows(root, name, acceleration_of):
    """picks/*.npz with manual P and S, counts without gain: S-P only."""
    data = np.load(os.path.join(root, "picks", name + ".npz"))
    rows = read_csv(os.path.join(root, "picks", name + ".csv"))
    rate = float(data["rate"])
    for i, row in enumerate(rows):
        p, s = int(data["p_sample"][i]), int(data["s_sample"][i])
        z, n, e = data["waveforms"][i].astype("f8")
        if p < 6 * rate or s <= p or not np.any(n) or not np.any(e):
            continue
        enz = np.stack([e, n, z], 1)
        enz -= enz[:p].mean(0)
        yield {"enz": enz.astype("f4"), "rate": rate, "start_ns": 0, "onset_ns": int(p * NS / rate),
               "acceleration": acceleration_of(row), "gain_known": False, "clip": np.inf, "magnitude": np.nan,
               "km": np.nan, "s_minus_p": (s - p) / rate, "sp_observed": True, "event": name + row["source_id"],
               "region": name, "station": row["station"], "split": split_of(name)}


def swarm(root, name, tool):
    """Sets with P and S picks of their own (crl manual, iceland automatic): S-P, no magnitude."""
    base = os.path.join(root, "replay", name)
    stations = read_stations(os.path.join(base, "stations.txt"))
    waves = read_mseed(os.path.join(base, "waveforms.mseed"), tool)
    picks = {}
    for row in read_csv(os.path.join(base, "picks.csv")):
        picks.setdefault((row.get("event_time", ""), row["station"]), {})[row["phase"]] = to_ns(row["time"])
    for group, sids in groups_of(stations).items():
        station = group.split("_")[1]
        for (event, where), phases in picks.items():
            if where != station or "P" not in phases or "S" not in phases or phases["S"] <= phases["P"]:
                continue
            found = cut(waves, sids, stations, phases["P"], lead_s=30)
            if found is None or (phases["P"] - found[2]) < 4 * NS:
                continue
            yield make(group, found, stations, sids, phases["P"], s_minus_p=(phases["S"] - phases["P"]) / NS,
                       sp_observed=True, event=name + event, region=name, split=split_of(name))


def everything(root, tool):
    yield from ridgecrest(root, tool)
    for name in sorted(os.listdir(os.path.join(root, "replay"))):
        if name.startswith("gm_"):
            yield from one_event_set(root, name, tool, "global", 6.0)
        elif name.startswith("openeew"):
            yield from one_event_set(root, name, tool, "openeew", 6.0)
        elif name.startswith("pleasant"):
            yield from one_event_set(root, name, tool, "pleasant_hill", 6.0)
        elif name.startswith(("crl", "iceland")):
            yield from swarm(root, name, tool)
    yield from windows(root, "phasenet", lambda row: row["channels"][1] in "NL")
    yield from windows(root, "stead", lambda row: row["receiver_type"][1] in "NL")
    yield from windows(root, "telica_3c", lambda row: False)
