"""The runtime's front end from Python: rows and features come from its own C code, never from a second version.

Both by models/cut_windows.c; TOCSIN_CUT_WINDOWS names the program, without it the usual build folders are tried.
"""
import glob
import json
import os
import shutil
import struct
import subprocess
import tempfile
import threading

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
FEATURES = 7
SHORTEST = 2000  # rows of a piece worth keeping
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


def key_of(sid):
    """FDSN:NET_STA_LOC_B_S -> NET.STA.LOC.BS"""
    net, sta, loc, band, source = sid.split(":", 1)[1].split("_")
    return ".".join((net, sta, loc, band + source))


def read_set(folder):
    """A folder of the data set: [(key, start in s, rows [n, 3] float32 at 100 Hz, live [3])], cut where a component comes or
    goes and at gaps. An absent component is 0 in the rows and False in live."""
    work, out = tempfile.mkdtemp(prefix="rows-"), []
    try:
        subprocess.run([program(), "rows", folder, work], check=True, stderr=subprocess.DEVNULL)
        for card in sorted(glob.glob(os.path.join(work, "*.json"))):
            with open(card) as f:
                meta = json.load(f)
            rows = np.fromfile(card[:-len("json")] + "f32", "<f4").reshape(-1, 3)
            have = np.isfinite(rows)
            edges = np.flatnonzero((have[1:] != have[:-1]).any(1)) + 1
            for a, b in zip([0, *edges], [*edges, len(rows)]):
                if b - a >= SHORTEST and have[a].any():
                    piece = np.where(have[a], rows[a:b], 0).astype(np.float32)
                    out.append((key_of(meta["sid"]), (meta["start_index"] + int(a)) / 100.0, piece, have[a].copy()))
    finally:
        shutil.rmtree(work)
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
