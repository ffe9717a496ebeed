"""Where the programs and the training modules are."""

import importlib
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
TRAIN = os.path.join(ROOT, "models", "train")
BUILD = os.environ.get("TOCSIN_BUILD", os.path.join(ROOT, "build"))
os.environ.setdefault("TOCSIN_CUT_WINDOWS", os.path.join(BUILD, "models", "cut_windows"))


def tool(name):
    path = os.path.join(BUILD, "models", name)
    if not os.access(path, os.X_OK):
        raise SystemExit("evaluate: %s is missing: build first (./run build)" % path)
    return path


def module(folder, name):
    where = os.path.join(TRAIN, folder)
    if where not in sys.path:
        sys.path.insert(0, where)
    return importlib.import_module(name)


def picker_module(name):
    return module("picker", name)


def estimator_module(name):
    return module("estimator", name)
