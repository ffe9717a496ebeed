"""The runtime's front end from Python: features and rows come from models/cut_windows.c, never from a second version.

TOCSIN_CUT_WINDOWS names the program; without it the usual build folders are tried.
"""
import os
import struct
import subprocess
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
