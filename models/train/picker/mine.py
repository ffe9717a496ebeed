"""Where the network so far errs on its own training streams: false alarms, and onsets it nearly missed.

Writes a pickle of [("stream name@start", sample)] for crops.py --mined. Looks at streams with split "train" only.
"""
import argparse
import os
import pickle
import sys

import numpy as np
import torch

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import evaluate  # noqa: E402
import net as network  # noqa: E402
import runtime  # noqa: E402


def alarms(prob, level, apart=20):
    """Frames of local maxima at or above the level, 1 s apart, strongest first."""
    cand = np.flatnonzero(prob >= level)
    kept, taken = [], np.zeros(len(prob) + 2 * apart, bool)
    for j in cand[np.argsort(-prob[cand], kind="stable")]:
        if not taken[j + apart]:
            kept.append(int(j))
            taken[j:j + 2 * apart] = True
    return kept


def mine(net, streams, level, log=print):
    features, out, false_n, weak_n = runtime.Features(), [], 0, 0
    for one in streams:
        if len(one.rows) < 3000:
            continue
        prob = evaluate.probabilities(evaluate.outputs(net, features, evaluate.masked(one)))
        flag = evaluate.merge_spans(list(one.unknown) + [(m - 60, m + 400) for m in one.p] + [(m, m + 400) for m in one.s],
                                    len(one.rows))
        key = one.name + "@%.2f" % one.start
        for j in alarms(prob[200:, 1], level):
            at = (j + 201) * evaluate.STRIDE
            if not flag[min(at, len(one.rows))]:
                out.append((key, at))
                false_n += 1
        for m in one.p:
            j = int(m) // evaluate.STRIDE
            if prob[j:j + 40, 1].max(initial=0) < 0.8:
                out += [(key, int(m))] * 2
                weak_n += 1
    features.close()
    log("false alarms %d, weak onsets %d" % (false_n, weak_n))
    return out


if __name__ == "__main__":
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--pool", required=True)
    args.add_argument("--net", required=True)
    args.add_argument("--out", required=True)
    args.add_argument("--level", type=float, default=0.12)
    opt = args.parse_args()
    torch.set_num_threads(1)
    one = network.Picker()
    one.load_state_dict(torch.load(opt.net))
    one.eval()
    with open(opt.pool, "rb") as f:
        pool = pickle.load(f)
    with open(opt.out, "wb") as f:
        pickle.dump(mine(one, [s for s in pool if s.split == "train"], opt.level), f)
