"""The runtime's front end from Python: rows and features come from its own C code, never from a second version.

Features by models/cut_windows.c (TOCSIN_CUT_WINDOWS names the program; without it the usual build folders are tried),
rows by rows.c beside this file, which is compiled when it is needed.
"""
import atexit
import glob
import os
import shutil
import struct
import subprocess
import tempfile
import threading

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
FEATURES = 7
SHORT = 8000  # rows of a block whose answer the program can hold back until it has read all of it


def program():
    named = os.environ.get("TOCSIN_CUT_WINDOWS")
    if named:
        return named
    for build in ("build", "build-release", "build/release", "build-debug", "build/debug"):
        path = os.path.join(ROOT, build, "models", "cut_windows")
        if os.access(path, os.X_OK):
            return path
    raise SystemExit("cut_windows not found: build it, or name it in TOCSIN_CUT_WINDOWS")


def build_rows(folder):
    """Compile rows.c with the core it stands on. Needs libmseed."""
    core = ["core/%s.c" % name for name in ("group", "station", "decode", "filter", "nstime", "ring")]
    out = os.path.join(folder, "rows")
    subprocess.run(["cc", "-O2", "-std=c11", "-D_GNU_SOURCE", "-I.", "models/train/picker/rows.c", *core, "-lmseed", "-lm",
                    "-o", out], cwd=ROOT, check=True)
    return out


BUILT = []


def rows_program():
    if not BUILT:
        folder = tempfile.mkdtemp(prefix="rows-program-")
        atexit.register(shutil.rmtree, folder, True)
        BUILT.append(build_rows(folder))
    return BUILT[0]


def placed(text):
    """Station text with made-up places where there are none: rows need the orientation only."""
    out = []
    for line in text.splitlines():
        cells = line.split("|")
        if not line.startswith("#") and len(cells) > 7:
            cells[4:8] = [cell.strip() or "0" for cell in cells[4:8]]
            if cells[-1].strip() > "2200":  # "for ever", written as a year
                cells[-1] = ""
        out.append("|".join(cells))
    return "\n".join(out) + "\n"


def key_of(sid):
    """FDSN:NET_STA_LOC_B_S -> NET.STA.LOC.BS"""
    net, sta, loc, band, source = sid.split(":", 1)[1].split("_")
    return ".".join((net, sta, loc, band + source))


def read_set(folder):
    """A folder of the data set: [(key, start in s, rows [n, 3] float32 at 100 Hz, live [3])], cut where the rows restart and
    where a component comes or goes. An absent component is 0 in the rows and False in live."""
    work = tempfile.mkdtemp(prefix="rows-")
    try:
        with open(os.path.join(folder, "stations.txt")) as f:
            stations = placed(f.read())
        with open(os.path.join(work, "stations.txt"), "w") as f:
            f.write(stations)
        records = b""
        for path in sorted(glob.glob(os.path.join(folder, "*.mseed"))):
            with open(path, "rb") as f:
                records += f.read()
        blob = subprocess.run([rows_program(), os.path.join(work, "stations.txt")], input=records, stdout=subprocess.PIPE,
                              check=True).stdout
    finally:
        shutil.rmtree(work)
    out, at = [], 0
    while at < len(blob):
        sid = blob[at:at + 48].split(b"\0")[0].decode()
        first, n = struct.unpack("<qI", blob[at + 48:at + 60])
        rows = np.frombuffer(blob, "<f4", 3 * n, at + 60).reshape(n, 3)
        at += 60 + 12 * n
        have = np.isfinite(rows)
        edges = np.flatnonzero((have[1:] != have[:-1]).any(1)) + 1
        for a, b in zip([0, *edges], [*edges, n]):
            if b - a < 2000 or not have[a].any():
                continue
            piece = np.where(have[a], rows[a:b], 0).astype(np.float32)
            out.append((key_of(sid), (first + a) / 100.0, piece, have[a].copy()))
    return sorted(out, key=lambda r: (r[0], r[1]))


class Features:
    """A running `cut_windows features`: rows [n, 3] in (E, N, Z, NaN missing), feature rows [n, 7] out."""

    def __init__(self):
        self.pipe = subprocess.Popen([program(), "features"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)

    def __call__(self, rows):
        rows = np.ascontiguousarray(rows, "<f4")
        want = len(rows) * FEATURES * 4
        out = bytearray()
        message = struct.pack("<I", len(rows)) + rows.tobytes()
        writer = None
        if len(rows) > SHORT:  # neither pipe may fill up while the other side waits
            writer = threading.Thread(target=self.send, args=(message,))
            writer.start()
        else:
            self.send(message)
        while len(out) < want:
            got = self.pipe.stdout.read(min(want - len(out), 1 << 20))
            if not got:
                raise RuntimeError("cut_windows ended early")
            out += got
        if writer:
            writer.join()
        return np.frombuffer(bytes(out), "<f4").reshape(-1, FEATURES)

    def send(self, data):
        view = memoryview(data)
        while len(view):
            view = view[self.pipe.stdin.write(view):]

    def close(self):
        self.pipe.stdin.close()
        self.pipe.wait()
