"""PhaseNet with its published weights: our C code repeats the stored probabilities of recorded windows.

    golden_phasenet.py build/tests/run_model

The stored probabilities are another program's (TOCSIN_DATA/weights/phasenet); they are compared for the trained length
of 3000 rows and for 3001, whose padding differs. Skipped without the data set.
"""
import os
import subprocess
import sys
import tempfile

from against import IMPORT, Cases, equal, need, run, skip

need("numpy")
import numpy as np  # noqa: E402

TOLERANCE = 1e-5  # the stored float32 values are within 1.5e-6 of the same network in float64


def golden(program, folder, length):
    with np.load(os.path.join(folder, "golden.npz")) as stored:
        x, y = stored["x%d" % length].transpose(0, 2, 1), stored["y%d" % length].transpose(0, 2, 1)
    with tempfile.TemporaryDirectory() as work:
        model = os.path.join(work, "phasenet.safetensors")
        subprocess.run([sys.executable, os.path.join(IMPORT, "phasenet.py"), "--npz",
                        os.path.join(folder, "weights.npz"), "--length", str(length), model], check=True)
        return "%d windows, %s" % (len(x), equal(run(program, model, x), y, TOLERANCE))


def main():
    folder = os.path.join(os.environ.get("TOCSIN_DATA") or skip("TOCSIN_DATA is not set"), "weights", "phasenet")
    if not os.path.isdir(folder):
        skip("no weights/phasenet in TOCSIN_DATA")
    cases = Cases()
    for length in (3000, 3001):
        cases.case("golden_%d" % length, golden, sys.argv[1], folder, length)
    cases.finish()


if __name__ == "__main__":
    main()
