"""Simulated records for the estimator: `tocsin-sim train` (tests/sim), read as records.py gives real ones."""

import glob
import os
import shutil
import subprocess

import numpy as np

HEAD = np.dtype([("n", "<u4"), ("kind", "<u4"), ("instrument", "<u4"), ("acceleration", "<u4"), ("region", "<u4"),
                 ("rate", "<f4"), ("magnitude", "<f4"), ("km", "<f4"), ("epicentral_km", "<f4"), ("depth_km", "<f4"),
                 ("clip", "<f4"), ("p", "<i4"), ("s", "<i4"), ("magnitude2", "<f4"), ("p2", "<i4"), ("s2", "<i4")])
LEAD = 2000  # samples put in front by mirroring the noise, so that the filters have forgotten their start, as live


def build(root, out):
    """Take tocsin-sim from a meson build when there is one, else compile it."""
    for built in ("build/tocsin-sim", "build/tests/sim/tocsin-sim"):
        if os.path.exists(os.path.join(root, built)):
            shutil.copy(os.path.join(root, built), os.path.join(out, "tocsin-sim"))
            return
    sources = [c for c in sorted(glob.glob(os.path.join(root, "tests/sim/*.c")) + glob.glob(os.path.join(root, "core/*.c")))
               if "kernels_avx" not in c]
    subprocess.run(["cc", "-O2", "-std=c11", "-D_GNU_SOURCE", "-I" + root] + sources +
                   ["-o", os.path.join(out, "tocsin-sim"), "-lmseed", "-ljansson", "-lopenblas", "-luv", "-lm"], check=True)


def mirrored(enz, p):
    """Noise before P played back and forth in front of the record, continuous in value."""
    quiet = enz[:p - 20]
    return np.concatenate([quiet[::-1], quiet, quiet[::-1]], 0)[-LEAD:] if len(quiet) else enz[:0]


def read(path):
    """Records of a file of tocsin-sim train, with a quake in them, as records.py gives real ones."""
    raw = np.fromfile(path, "u1")
    at = 0
    while at < len(raw):
        one = raw[at:at + HEAD.itemsize].view(HEAD)[0]
        n, rate, p = int(one["n"]), float(one["rate"]), int(one["p"])
        at += HEAD.itemsize
        enz = raw[at:at + 12 * n].view("<f4").reshape(n, 3)
        at += 13 * n
        enz = enz - enz[:p - 20].mean(0)
        lead = mirrored(enz, p)
        full = np.concatenate([lead, enz], 0)
        start = 1_500_000_000_000_000_000 - int((len(lead) + p) * 1e9 / rate)
        yield {"enz": full, "rate": rate, "start_ns": start, "onset_ns": start + int((len(lead) + p) * 1e9 / rate),
               "acceleration": bool(one["acceleration"]), "gain_known": True, "clip": 0.98 * float(one["clip"]),
               "magnitude": float(one["magnitude"]), "km": float(one["km"]), "depth_km": float(one["depth_km"]),
               "s_minus_p": (int(one["s"]) - p) / rate, "sp_observed": True}


def make(tool, seed, first, count, scratch):
    path = os.path.join(scratch, "simulated_%d_%d.bin" % (seed, first))
    subprocess.run([tool, "train", "--seed", str(seed), "--first", str(first), "--count", str(count), "--out", path],
                   check=True)
    records = list(read(path))
    os.remove(path)
    return records
