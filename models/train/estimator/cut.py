"""Rows of the estimator from records, through cut_estimator: the runtime's own resampler, motion steps and input function."""

import glob
import os
import struct
import subprocess
import tempfile

import numpy as np

INPUTS = 15
ROWS = 200  # 20 s after P, what the daemon follows by default
COLUMNS = ("pv_peak", "pe_peak", "pd_peak", "pa_peak", "pv_z", "pe_z", "pv_h", "pe_h", "pv_noise", "pe_noise", "pd_noise",
           "pv_h_noise", "log_after", "clipped", "gain_known")
AMPLITUDES = list(range(12))
HORIZONTAL = [6, 7, 11]
FLOOR, CEILING, REFERENCE_NOISE = -10.0, 3.0, -6.0

def build(root, out):
    """Compile the tools; a compiler and core's own dependencies are enough."""
    core = sorted(glob.glob(os.path.join(root, "core", "*.c")))
    for name in ("cut_estimator", "dump_mseed"):
        subprocess.run(["cc", "-O2", "-std=c11", "-D_GNU_SOURCE", "-I" + root,
                        os.path.join(root, "models/train/estimator", name + ".c")] + core +
                       ["-o", os.path.join(out, name), "-lmseed", "-ljansson", "-lopenblas", "-lm"], check=True)


def rows_of(records, tool, rows=ROWS, shift_s=None):
    """One float32 [count, INPUTS] per record, in order. shift_s: seconds added to each onset (mispicked, as live)."""
    with tempfile.TemporaryFile() as pipe:
        for i, r in enumerate(records):
            onset = r["onset_ns"] + (int(shift_s[i] * 1e9) if shift_s is not None else 0)
            pipe.write(struct.pack("<qqddIIII", r["start_ns"], onset, r["rate"], r["clip"], len(r["enz"]), rows,
                                   int(r["acceleration"]), int(r["gain_known"])))
            pipe.write(np.ascontiguousarray(r["enz"], "<f4").tobytes())
        pipe.seek(0)
        raw = subprocess.run([tool], stdin=pipe, stdout=subprocess.PIPE, check=True).stdout
    out, at = [], 0
    for _ in records:
        n = struct.unpack_from("<I", raw, at)[0]
        out.append(np.frombuffer(raw, "<f4", n * INPUTS, at + 4).reshape(n, INPUTS).copy())
        at += 4 + 4 * n * INPUTS
    return out


def run_model(tool, weights, rows):
    """[n, 4] raw outputs of the C runtime for one record's rows."""
    raw = subprocess.run([tool, "run", weights], input=np.ascontiguousarray(rows, "<f4").tobytes(),
                         stdout=subprocess.PIPE, check=True).stdout
    return np.frombuffer(raw, "<f4").reshape(-1, 4)


def without_gain(rows):
    """What toc_estimator_inputs() gives for the same motion in unknown units."""
    out = rows.copy()
    noise = out[..., 8:9]
    shift = np.where(noise > FLOOR, REFERENCE_NOISE - noise, 0)
    amplitude = out[..., AMPLITUDES]
    out[..., AMPLITUDES] = np.where(amplitude > FLOOR, np.clip(amplitude + shift, FLOOR, CEILING), FLOOR)
    out[..., 14] = 0
    return out


def without_horizontals(rows):
    out = rows.copy()
    out[..., HORIZONTAL] = FLOOR
    return out
