"""What the tests of models/import share: an interpreter that has the packages, the runner, named cases.

A test calls need("numpy", "torch") first. `./run check` asks for no Python package: when the interpreter that runs the
tests lacks one, Debian's is tried (apt puts packages there), and else the test is skipped by name (exit 77).
"""
import importlib.util
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
IMPORT = os.path.join(HERE, os.pardir, os.pardir, "models", "import")
DEBIAN_PYTHON = "/usr/bin/python3"
sys.dont_write_bytecode = True
sys.path.insert(0, IMPORT)


def need(*modules):
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if not missing:
        return
    if os.environ.get("TOCSIN_TRIED") != "1" and os.access(DEBIAN_PYTHON, os.X_OK):
        os.environ["TOCSIN_TRIED"] = "1"
        os.execv(DEBIAN_PYTHON, [DEBIAN_PYTHON] + sys.argv)
    skip("no Python module %s" % ", ".join(missing))


def skip(why):
    print("skipped: %s" % why)
    sys.exit(77)


def run(program, model, windows):
    """windows [n, rows, channels] through a model file by the C code; [n, rows out, channels out]."""
    import numpy as np
    with tempfile.TemporaryDirectory() as folder:
        rows_in, rows_out = os.path.join(folder, "in.f32"), os.path.join(folder, "out.f32")
        np.ascontiguousarray(windows, "f4").tofile(rows_in)
        said = subprocess.run([program, model, rows_in, rows_out], capture_output=True, text=True)
        if said.returncode != 0:
            raise AssertionError(said.stderr.strip())
        rows, channels = (int(said.stdout.split(" to ")[1].split()[i]) for i in (0, 3))
        return np.fromfile(rows_out, "f4").reshape(len(windows), rows, channels)


class Cases:
    """Runs functions as cases, in the words tests/house/count.py reads."""

    def __init__(self):
        self.failed = 0

    def case(self, name, function, *args):
        try:
            print("%s: %s" % (name, function(*args)))
            print("[       OK ] %s" % name, flush=True)
        except Exception as error:  # a converter's own mistakes are failures too
            print("%s: %s: %s" % (name, type(error).__name__, error))
            print("[  FAILED  ] %s\n[  FAILED  ] %s" % (name, name), flush=True)
            self.failed += 1

    def finish(self):
        sys.exit(1 if self.failed else 0)


def equal(got, want, tolerance):
    """The largest difference as text; raises when it is above the tolerance, or not a number."""
    import numpy as np
    if got.shape != want.shape:
        raise AssertionError("shape %s, expected %s" % (got.shape, want.shape))
    worst = float(np.abs(got.astype("f8") - want).max())
    if not worst <= tolerance:
        raise AssertionError("off by %.2e, more than %.0e" % (worst, tolerance))
    return "largest difference %.2e (tolerance %.0e)" % (worst, tolerance)
