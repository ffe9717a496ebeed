"""PhaseNet as a labeller of training data.

Runs the published PhaseNet weights (AI4EPS, MIT licence, stored as plain
arrays) over rows of 100 Hz data and gives P and S probabilities per sample.
Used only while training data is put together: to mask arrivals nobody
labelled. It is no part of the picker and nothing of it is shipped.
"""
import os

import numpy as np
import torch
import torch.nn.functional as F

WINDOW = 3000
HOP = 1500
EDGE = 300  # samples at both ends of a window that another window knows better


def same_pad(length, stride):
    total = max((-(-length // stride) - 1) * stride + 7 - length, 0)
    return total // 2, total - total // 2


class PhaseNet:
    def __init__(self, folder):
        self.w = dict(np.load(os.path.join(folder, "weights.npz")))

    def fold(self, conv, bn, transposed=False):
        kernel = self.w[conv + ".kernel"][:, 0].astype(np.float64)
        bias = self.w.get(conv + ".bias", 0.0)
        scale = self.w[bn + ".gamma"] / np.sqrt(self.w[bn + ".moving_variance"].astype(np.float64) + 1e-3)
        shift = self.w[bn + ".beta"] + (bias - self.w[bn + ".moving_mean"]) * scale
        axes = (2, 1, 0)
        kernel = kernel * (scale[None, :, None] if transposed else scale)
        return (torch.tensor(kernel.transpose(axes).copy(), dtype=torch.float32),
                torch.tensor(shift, dtype=torch.float32))

    def conv(self, x, conv, bn, stride=1):
        kernel, bias = self.fold(conv, bn)
        x = F.pad(x, same_pad(x.shape[2], stride) if stride > 1 else (3, 3))
        return torch.relu(F.conv1d(x, kernel, bias, stride=stride))

    def up(self, x, skip, conv, bn):
        kernel, bias = self.fold(conv, bn, transposed=True)
        n = x.shape[2]
        y = torch.relu(F.conv_transpose1d(x, kernel, bias, stride=4)[:, :, 1:1 + 4 * n])
        off = (y.shape[2] - skip.shape[2]) // 2
        return torch.cat([skip, y[:, :, off:off + skip.shape[2]]], 1)

    def run(self, x):
        """x [batch, 3, 3000] in the order E, N, Z. Returns probabilities [batch, 3, 3000]: noise, P, S."""
        mean, std = x.mean(2, keepdim=True), x.std(2, keepdim=True, unbiased=False)
        x = (x - mean) / torch.where(std > 0, std, torch.ones_like(std))
        alive = (std > 0).float().sum(1, keepdim=True)
        x = x * 3.0 / alive.clamp(min=1.0)
        x = self.conv(x, "Input.input_conv", "Input.input_bn")
        skips = []
        for k in range(5):
            x = self.conv(x, f"DownConv_{k}.down_conv1_{k + 1}", f"DownConv_{k}.down_bn1_{k + 1}")
            if k < 4:
                skips.append(x)
                x = self.conv(x, f"DownConv_{k}.down_conv3_{k + 1}", f"DownConv_{k}.down_bn3_{k + 1}", 4)
        for k in (3, 2, 1, 0):
            x = self.up(x, skips[k], f"UpConv_{k}.up_conv0_{k + 1}", f"UpConv_{k}.up_bn0_{k + 1}")
            x = self.conv(x, f"UpConv_{k}.up_conv1_{k + 1}", f"UpConv_{k}.up_bn1_{k + 1}")
        kernel = torch.tensor(self.w["Output.output_conv.kernel"][:, 0].transpose(2, 1, 0).copy())
        return torch.softmax(F.conv1d(x, kernel, torch.tensor(self.w["Output.output_conv.bias"])), 1)

    @torch.no_grad()
    def over(self, rows, batch=64):
        """rows [n, 3] E, N, Z at 100 Hz. Returns [2, n] float16: P and S, full context where the record has it."""
        n = rows.shape[0]
        out = np.zeros((2, n), np.float32)
        starts = list(range(0, max(n - WINDOW, 0) + 1, HOP))
        if n > WINDOW and starts[-1] + WINDOW < n:
            starts.append(n - WINDOW)
        for b in range(0, len(starts), batch):
            part = starts[b:b + batch]
            x = np.zeros((len(part), 3, WINDOW), np.float32)
            for k, s in enumerate(part):
                piece = rows[s:s + WINDOW]
                x[k, :, :len(piece)] = (piece - piece.mean(0, dtype=np.float64)).T
            p = self.run(torch.from_numpy(x))[:, 1:].numpy()
            for k, s in enumerate(part):
                lo = 0 if s == 0 else EDGE
                hi = WINDOW if s + WINDOW >= n else WINDOW - EDGE
                hi = min(hi, n - s)
                out[:, s + lo:s + hi] = np.maximum(out[:, s + lo:s + hi], p[k, :, lo:hi])
        return out.astype(np.float16)


def peaks(prob, threshold, apart=50):
    """Local maxima at or above threshold, strongest first, at least `apart` samples from one another."""
    p = prob.astype(np.float32)
    cand = np.flatnonzero((p[1:-1] >= threshold) & (p[1:-1] >= p[:-2]) & (p[1:-1] > p[2:])) + 1
    kept = []
    for i in cand[np.argsort(-p[cand], kind="stable")]:
        if all(abs(i - j) >= apart for j in kept):
            kept.append(int(i))
    return sorted(kept)


def check(folder):
    """Largest difference from the stored golden windows."""
    golden = np.load(os.path.join(folder, "golden.npz"))
    got = PhaseNet(folder).run(torch.from_numpy(golden["x3000"])).numpy()
    return float(np.abs(got - golden["y3000"]).max())


if __name__ == "__main__":
    import sys
    print("largest difference from the golden windows: %.2e" % check(sys.argv[1]))
