"""Rows of the estimator from records, through cut_estimator: the runtime's own resampler, motion steps and input function."""

import glob
import os
import struct
import subprocess
import tempfile

import numpy as np

INPUTS = 30
OUTPUTS = 9
ROWS = 200  # 20 s after P, what the daemon follows by default
COLUMNS = ("pv_p", "pe_p", "pd_p", "pa_p", "rms_p", "rms_h_p",
           "pv", "pe", "pd", "pv_h", "pe_h", "pd_h",
           "step_pv", "step_pe", "step_pv_h", "step_pe_h", "step_rms", "step_rms_h",
           "noise_pv", "noise_pe", "noise_pd", "noise_pv_h", "noise_rms",
           "log_after", "log_of_p", "clipped", "step_clipped", "horizontals", "gain_known", "s_known")
COLUMN = {name: i for i, name in enumerate(COLUMNS)}
AMPLITUDES = list(range(23))
HORIZONTAL = [i for i in AMPLITUDES if "_h" in COLUMNS[i]]
OF_P = [0, 1, 2, 3, 4, 5, 24]  # what a known S ends
FLOOR, CEILING, REFERENCE_NOISE = -10.0, 3.0, -6.0


def build(root, out):
    """Compile the tools; a compiler and core's own dependencies are enough."""
    core = [c for c in sorted(glob.glob(os.path.join(root, "core", "*.c"))) if "kernels_avx" not in c]  # plain C will do
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
    """[n, OUTPUTS] raw outputs of the C runtime for one record's rows."""
    raw = subprocess.run([tool, "run", weights], input=np.ascontiguousarray(rows, "<f4").tobytes(),
                         stdout=subprocess.PIPE, check=True).stdout
    return np.frombuffer(raw, "<f4").reshape(-1, OUTPUTS)


# What toc_estimator_inputs() gives for the same motion when something else is known of it. All in place, on [n, ROWS, INPUTS].

def without_gain(x, which):
    noise = x[which, :, COLUMN["noise_pv"]][..., None]
    shift = np.where(noise > FLOOR, REFERENCE_NOISE - noise, 0)
    amplitude = x[which][..., AMPLITUDES]
    part = x[which]
    part[..., AMPLITUDES] = np.where(amplitude > FLOOR, np.clip(amplitude + shift, FLOOR, CEILING), FLOOR)
    part[..., COLUMN["gain_known"]] = 0
    x[which] = part


def without_horizontals(x, which):
    part = x[which]
    part[..., HORIZONTAL] = FLOOR
    part[..., COLUMN["horizontals"]] = 0
    x[which] = part


def first_s(x):
    """Seconds after P at the end of the first row."""
    return 10.0 ** x[:, 1, COLUMN["log_after"]] - 0.1


def guard(x, s_minus_p, known_from):
    """S is known to be at s_minus_p [n] seconds from row known_from [n] on (at least the number of rows: never)."""
    n, rows = x.shape[:2]
    last = np.floor((s_minus_p - first_s(x)) / 0.1 + 1e-6).clip(0, rows - 1).astype(int)
    i = np.arange(rows)[None, :]
    known = i >= known_from[:, None]
    source = np.where(known, np.minimum(i, last[:, None]), i)
    x[:, :, OF_P] = x[np.arange(n)[:, None], source][:, :, OF_P]
    x[:, :, COLUMN["s_known"]] = known
