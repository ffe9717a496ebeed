#!/usr/bin/python3
"""Real records beside simulated ones of the same magnitude, distance, depth and region: how far is the simulator off?

    simulator_check.py --work DIR [--data ../shared/data] [--tool build/tocsin-sim] [--each 4]

For every training record with a known gain (never a held-out one) as many simulated ones are made without noise, at the
same place and size. Peaks and spectra of both are measured by the same code; a measurement counts where it stands three
times above what the real record has before P, and the simulated one is judged against that same real noise, so that the
selection is the same. Tables: log10 of real over simulated, the median, and half the 16-84 % range of each side.

One line of the tables is one kind of measurement: of the vertical in the first 3 s of P (ending before S) peak
acceleration pa, velocity pv, displacement pd (high-pass 0.3 Hz), and rms velocity in four octaves; ph: peak horizontal
velocity in the same window; of S (8 s, horizontals) sh, and in octaves; c: rms of the vertical's coda from 15 s after S.
"""

import argparse
import os
import subprocess
import sys
import tempfile

import numpy as np
from scipy.signal import butter, sosfilt

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.abspath(os.path.join(HERE, "..", ".."))
sys.path.insert(0, os.path.join(HERE, "estimator"))

import cut        # noqa: E402
import records    # noqa: E402
import simulated  # noqa: E402

OCTAVES = ((1, 2), (2, 4), (4, 8), (8, 16))
NAMES = (["pa", "pv", "pd"] + ["p %d-%d" % o for o in OCTAVES] + ["ph", "sh"] + ["s %d-%d" % o for o in OCTAVES] + ["c"])
MAGNITUDES = ((0.5, 2), (2, 3), (3, 4), (4, 5), (5, 8))
DISTANCES = ((0, 20), (20, 40), (40, 80), (80, 130), (130, 300))
ABOVE_NOISE = 3.0
P_S, S_S, CODA_AFTER_S, CODA_S = 3.0, 8.0, 15.0, 4.0


def bands(wave, rate):
    """[octave] the same wave through each octave; NAN beyond what the rate carries."""
    out = []
    for low, high in OCTAVES:
        if high > 0.45 * rate:
            out.append(np.full_like(wave, np.nan))
        else:
            out.append(sosfilt(butter(2, [low, high], "band", fs=rate, output="sos"), wave, axis=0))
    return out


def views(enz, rate, acceleration):
    """Acceleration, velocity, displacement without what is slower than 0.3 Hz or faster than 20 Hz; each [n, 3]."""
    top = min(20.0, 0.42 * rate)
    wave = np.nan_to_num(enz.astype("f8"))
    wave = sosfilt(butter(2, top, "low", fs=rate, output="sos"), wave - wave[0], axis=0)
    high = butter(2, 0.3, "high", fs=rate, output="sos")
    wave = sosfilt(high, wave, axis=0)
    if acceleration:
        a, v = wave, sosfilt(high, np.cumsum(wave, 0) / rate, axis=0)
    else:
        a, v = np.gradient(wave, 1.0 / rate, axis=0), wave
    return a, v, sosfilt(high, np.cumsum(v, 0) / rate, axis=0)


def measure(record):
    """(values, noise) by NAMES; NAN where the window is not in the record."""
    rate = record["rate"]
    a, v, d = views(record["enz"], rate, record["acceleration"])
    octave = bands(v, rate)
    p = int(round((record["onset_ns"] - record["start_ns"]) * rate / 1e9))
    s = p + int(record["s_minus_p"] * rate)
    flat = not np.isnan(record["enz"][0, :2]).any()

    def at(first, seconds, until=None):
        last = min(int(first + seconds * rate), until or 10 ** 9)
        peak = lambda x: np.abs(x[first:last]).max() if last > first + 0.3 * rate and last <= len(v) else np.nan
        rms = lambda x: np.sqrt(np.mean(x[first:last] ** 2)) if last > first + 0.3 * rate and last <= len(v) else np.nan
        return peak, rms

    peak, rms = at(p, P_S, s - int(0.2 * rate))
    speak, srms = at(s, S_S)
    _, crms = at(s + int(CODA_AFTER_S * rate), CODA_S)
    before, before_rms = at(p - int(4.5 * rate), 4.0)
    horizontal = lambda x: np.hypot(x[:, 0], x[:, 1]) if flat else np.full(len(x), np.nan)
    z = lambda x: x[:, 2]
    values = ([peak(z(x)) for x in (a, v, d)] + [rms(z(x)) for x in octave] + [peak(horizontal(v)), speak(horizontal(v))] +
              [srms(horizontal(x)) for x in octave] + [crms(z(v))])
    noise = ([before(z(x)) for x in (a, v, d)] + [before_rms(z(x)) for x in octave] +
             [before(horizontal(v))] * 2 + [before_rms(horizontal(x)) for x in octave] + [before_rms(z(v))])
    return np.array(values), np.array(noise)


def usable(record):
    return (record["split"] == "train" and record["gain_known"] and np.isfinite(record["magnitude"]) and
            not record.get("clip_suspect") and "AV_CKT" not in record["station"] and
            np.nanmax(np.abs(record["enz"])) < record["clip"] and
            (record["onset_ns"] - record["start_ns"]) * record["rate"] / 1e9 > 8)


def real(data, work):
    """Measured once, kept in the work folder."""
    path = os.path.join(work, "simulator_check_real.npz")
    if not os.path.exists(path):
        rows = []
        for record in records.everything(data, os.path.join(work, "dump_mseed")):
            if usable(record):
                values, noise = measure(record)
                rows.append((record["magnitude"], record["km"], record["region"], values, noise))
        columns = list(zip(*rows))
        np.savez(path, magnitude=columns[0], km=columns[1], region=columns[2], values=np.array(columns[3]),
                 noise=np.array(columns[4]))
    return np.load(path)


REGION_OF = {"ridgecrest": "california", "pleasant_hill": "california", "global": "california", "openeew": "mexico"}


def simulate(tool, found, each):
    """[record, each, kind]"""
    out = np.full((len(found["magnitude"]), each, len(NAMES)), np.nan)
    with tempfile.TemporaryDirectory() as scratch:
        places, path = os.path.join(scratch, "places.csv"), os.path.join(scratch, "records.bin")
        for k in range(each):
            with open(places, "w") as file:
                for m, km, region in zip(found["magnitude"], found["km"], found["region"]):
                    file.write("%.2f,%.2f,%s\n" % (m, max(km, 1.0), REGION_OF[str(region)]))
            subprocess.run([tool, "train", "--seed", str(100 + k), "--places", places, "--noise", "none", "--out", path],
                           check=True)
            for i, record in enumerate(simulated.read(path)):
                out[i, k] = measure(record)[0]
    return out


def spread(x):
    return 0.5 * (np.quantile(x, 0.84) - np.quantile(x, 0.16))


def row(label, values, noise, made, kinds):
    """Medians of real over simulated for each kind, and how wide each side scatters about its own median."""
    cells = []
    for k in kinds:
        ok = values[:, k] > ABOVE_NOISE * noise[:, k]
        sim = made[:, :, k]
        seen = sim > ABOVE_NOISE * noise[:, k:k + 1]
        good = ok & seen.any(1)
        if good.sum() < 5:
            cells.append("%-17s" % "-")
            continue
        ratio = np.log10(values[good, k]) - np.array([np.median(np.log10(s[u])) for s, u in zip(sim[good], seen[good])])
        own = np.concatenate([np.log10(s[u]) - np.median(np.log10(s[u])) for s, u in zip(sim[good], seen[good])])
        cells.append("%+.2f %.2f/%.2f %3d " % (np.median(ratio), spread(ratio), spread(own), good.sum()))
    return "%-22s" % label + " ".join(cells)


def tables(found, made):
    m, km, values, noise = found["magnitude"], found["km"], found["values"], found["noise"]
    for kinds in (range(0, 7), range(7, len(NAMES))):
        print("\nmedian of log10 real/simulated, scatter real/simulated, records")
        print("%-22s" % "" + " ".join("%-17s" % NAMES[k] for k in kinds))
        print(row("all", values, noise, made, kinds))
        for region in sorted(set(found["region"])):
            mask = found["region"] == region
            print(row(str(region), values[mask], noise[mask], made[mask], kinds))
        for low, high in MAGNITUDES:
            mask = (m >= low) & (m < high)
            if mask.sum() >= 5:
                print(row("M %.1f-%.1f" % (low, high), values[mask], noise[mask], made[mask], kinds))
        for low, high in DISTANCES:
            mask = (km >= low) & (km < high)
            if mask.sum() >= 5:
                print(row("%d-%d km" % (low, high), values[mask], noise[mask], made[mask], kinds))


SHORT = [NAMES.index(name) for name in ("pa", "pv", "pd", "ph", "sh", "s 1-2", "c")]


def cell(values, noise, made, k):
    parts = row("", values, noise, made, [k]).split()
    return "" if parts[0] == "-" else "%s, %s, %s" % tuple(parts)


def markdown(found, made):
    """The table of docs/simulator.md."""
    m, km = found["magnitude"], found["km"]
    groups = [("all", m > -9)] + [(str(r), found["region"] == r) for r in sorted(set(found["region"]))]
    groups += [("M %g to %g" % g, (m >= g[0]) & (m < g[1])) for g in MAGNITUDES]
    groups += [("%d to %d km" % g, (km >= g[0]) & (km < g[1])) for g in DISTANCES]
    print("| records | " + " | ".join(NAMES[k] for k in SHORT) + " |\n|" + "---|" * (len(SHORT) + 1))
    for label, mask in groups:
        if mask.sum() >= 5:
            print("| %s | " % label + " | ".join(cell(found["values"][mask], found["noise"][mask], made[mask], k)
                                               for k in SHORT) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", required=True, help="folder for tools and the measured real records")
    parser.add_argument("--data", default=os.environ.get("TOCSIN_DATA", os.path.join(ROOT, "..", "shared", "data")))
    parser.add_argument("--tool", default=os.path.join(ROOT, "build", "tocsin-sim"))
    parser.add_argument("--each", type=int, default=4, help="simulated records for each real one")
    parser.add_argument("--markdown", action="store_true", help="the short table, for docs/simulator.md")
    args = parser.parse_args()
    os.makedirs(args.work, exist_ok=True)
    if not os.path.exists(os.path.join(args.work, "dump_mseed")):
        cut.build(ROOT, args.work)
    found = real(args.data, args.work)
    (markdown if args.markdown else tables)(found, simulate(args.tool, found, args.each))
    return 0


if __name__ == "__main__":
    sys.exit(main())
