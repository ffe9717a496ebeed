"""The trained second look as the file the daemon reads.

    export_second.py second.pt ../../second/weights.safetensors --version 1 --confirm 0.5 --withdraw 0.02
"""
import argparse
import os
import sys

import numpy as np
import torch

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.dirname(HERE))
import second_net as network  # noqa: E402
from export import manifest, write_model  # noqa: E402

CARD = "models/second/card.md"
TRAINING = {"words": "proposals of the picker, of STA/LTA and at random, in the picker's own training crops",
            "held_out": "as the picker's (models/train/picker/pool.py); Telica and Corinth never trained on"}


@torch.no_grad()
def answer(net, rows):
    """What the network says to one window [ROWS, 8]: [1, 103]."""
    return net(torch.from_numpy(np.ascontiguousarray(rows, np.float32).T[None].copy())).numpy()


def write(net, path, version, constants, bias=(0.0, 0.0, 0.0), scale=1.0):
    """Returns the checksum text. The calibration (train on one mixture of proposals, used on another) goes into the weights:
    class logits times scale plus bias."""
    tensors = {k: v.clone() for k, v in net.state_dict().items()}
    tensors["class.weight"] = tensors["class.weight"] * scale
    tensors["class.bias"] = tensors["class.bias"] * scale + torch.tensor(bias)
    calibrated = network.Second().eval()
    calibrated.load_state_dict(tensors)
    said = manifest("second", lambda rows: answer(calibrated, rows), TRAINING, card=CARD)
    return write_model(path, "second", version, network.graph(), tensors, constants, said)


if __name__ == "__main__":
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("checkpoint")
    args.add_argument("out")
    args.add_argument("--version", default="1")
    args.add_argument("--confirm", type=float, default=0.5)
    args.add_argument("--withdraw", type=float, default=0.02)
    args.add_argument("--scale", type=float, default=1.0)
    args.add_argument("--bias", type=float, nargs=3, default=(0.0, 0.0, 0.0))
    opt = args.parse_args()
    one = network.Second()
    saved = torch.load(opt.checkpoint)
    one.load_state_dict(saved.get("net", saved))
    one.eval()
    print("written, checksum", write(one, opt.out, opt.version, {"confirm_threshold": opt.confirm,
          "withdraw_threshold": opt.withdraw}, opt.bias, opt.scale))
