"""The picker network: small, causal, 20 answers a second.

Three parts: a convolution at 100 Hz, one with stride 5 down to 20 Hz, then
residual blocks of dilated convolutions. Frame j sees samples < 5 (j + 1) of
its stream and nothing later. BatchNorm is folded into the convolutions for
the runtime by graph(). Outputs per frame, raw: logits of noise, P, S; age of
P in s, log of its Laplace scale; the same for S.
"""
import torch
import torch.nn as nn
import torch.nn.functional as F

INPUTS, OUTPUTS, STRIDE = 7, 7, 5
DILATIONS = (1, 2, 4, 8, 16, 32, 1, 2)
WIDTH_IN, WIDTH = 32, 48  # multiples of the widest vector registers


def causal(conv, x):
    left = (conv.kernel_size[0] - 1) * conv.dilation[0] + 1 - conv.stride[0]
    return conv(F.pad(x, (left, 0)))


class Block(nn.Module):
    def __init__(self, width, dilation):
        super().__init__()
        self.conv = nn.Conv1d(width, width, 3, dilation=dilation, bias=False)
        self.norm = nn.BatchNorm1d(width)
        self.back = nn.Conv1d(width, width, 1)

    def forward(self, x):
        return x + self.back(torch.relu(self.norm(causal(self.conv, x))))


class Picker(nn.Module):
    def __init__(self, width_in=WIDTH_IN, width=WIDTH, dilations=DILATIONS):
        super().__init__()
        self.conv = nn.Conv1d(INPUTS, width_in, 7, bias=False)
        self.norm = nn.BatchNorm1d(width_in)
        self.down = nn.Conv1d(width_in, width, 10, stride=STRIDE, bias=False)
        self.down_norm = nn.BatchNorm1d(width)
        self.blocks = nn.ModuleList(Block(width, d) for d in dilations)
        self.out = nn.Conv1d(width, OUTPUTS, 1)
        with torch.no_grad():
            self.out.bias[0] += 2.0

    def forward(self, x):
        """x [batch, 7, n] with n a multiple of 5. Returns [batch, 7, n / 5]."""
        x = torch.relu(self.norm(causal(self.conv, x)))
        x = torch.relu(self.down_norm(causal(self.down, x)))
        for block in self.blocks:
            x = block(x)
        with torch.autocast("cpu", enabled=False):  # ages need more digits than bfloat16 has
            return self.out(x.float())


def fold(conv, norm):
    """Weight [out, in, k] and bias of the convolution with the batch norm in it."""
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    weight = conv.weight.double() * scale[:, None, None]
    bias = norm.bias.double() - norm.running_mean.double() * scale
    if conv.bias is not None:
        bias = bias + conv.bias.double() * scale
    return weight.float().detach().numpy(), bias.float().detach().numpy()


def macs_per_second(net):
    total = 100 * net.conv.weight.numel() + 20 * (net.down.weight.numel() + net.out.weight.numel())
    return total + 20 * sum(b.conv.weight.numel() + b.back.weight.numel() for b in net.blocks)


def parameters(net):
    return sum(p.numel() for p in net.parameters())


if __name__ == "__main__":
    one = Picker().eval()
    x = torch.randn(1, INPUTS, 500)
    y = one(x)
    x[:, :, 250:] += 1
    z = one(x)
    print("parameters %d, MAC/s %d, frames before sample 250 unchanged: %s, frame 50 changed: %s" % (
        parameters(one), macs_per_second(one), torch.equal(y[:, :, :50], z[:, :, :50]), bool((y - z)[:, :, 50].abs().max() > 0)))
