"""The stored vector of the shipped picker: made-up ground through the runtime's features, and what PyTorch answers.

    parity.py net.pt ../../../tests/parity/picker.vec

tests/unit/test_picker_weights.c holds the C runtime and models/picker/weights.safetensors against it. To be made anew with
every new set of weights. The ground is made up (a burst in noise): no recorded data are in the vector.
"""
import os
import struct
import sys

import numpy as np
import torch

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import net as network  # noqa: E402
import runtime  # noqa: E402

ROWS = 1500


def ground(seed=11):
    """15 s of noise with a P-like burst at 9 s; one horizontal is missing in the second half."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((ROWS, 3)) * 40
    t = (np.arange(ROWS) - 900) / 100
    burst = np.where(t > 0, np.exp(-np.maximum(t, 0) / 2), 0)[:, None]
    rows += burst * rng.standard_normal((ROWS, 3)) * np.array([150, 150, 500])
    rows[700:, 1] = np.nan
    return np.round(rows).astype(np.float32)


if __name__ == "__main__":
    net = network.Picker()
    net.load_state_dict(torch.load(sys.argv[1]))
    net.eval()
    features = runtime.Features()
    x = np.array(features(ground()))
    features.close()
    with torch.no_grad():
        y = net(torch.from_numpy(x.T[None].copy()))[0].T.numpy()
    with open(sys.argv[2], "wb") as f:
        f.write(struct.pack("<4I", len(x), x.shape[1], len(y), y.shape[1]))
        f.write(x.astype("<f4").tobytes() + np.ascontiguousarray(y, "<f4").tobytes())
    print("%d rows in, %d out; P at most %.3f" % (len(x), len(y), float(torch.softmax(torch.from_numpy(y[:, :3]), 1)[:, 1].max())))
