"""Generalized Phase Detection (Ross et al. 2018, Bull. Seism. Soc. Am. 108, 2894-2901), SeisBench's names.

Convolutions conv1, conv2, ... each with batch norm bn1, ... , ReLU and a maximum over pairs; then dense layers fc1,
... with the remaining batch norms between them; softmax, or a sigmoid for a single class. One answer a window of 400
rows. The network expects each channel less its mean, all divided by the largest absolute value of the three."""
from sketch import Refused, Sketch

EPS = 1e-3
POOL = 2


def from_pytorch(arrays, length=None, time_first=False):
    """length: default the one the first dense layer was made for. time_first: fc1 reads its columns row by row, as
    Keras flattens (SeisBench's original_compatible), instead of channel by channel."""
    n_convs, n_dense = arrays.count("conv%d.weight", 1), arrays.count("fc%d.weight", 1)
    if n_convs == 0 or n_dense == 0:
        raise Refused("array 'conv1.weight' or 'fc1.weight' is missing")
    channels, columns = arrays.take("conv%d.weight" % n_convs, 3).shape[0], arrays.take("fc1.weight", 2).shape[1]
    sketch = Sketch(arrays.take("conv1.weight", 3).shape[1], length or columns // channels * POOL ** n_convs)
    for k in range(1, n_convs + 1):
        weight, bias = arrays.linear("conv%d" % k, 3)
        reach = weight.shape[2] // 2
        sketch.conv("conv%d" % k, weight, bias, padding=(reach, reach))
        sketch.norm("bn%d" % k, arrays.norm("bn%d" % k), EPS, "relu")
        sketch.pool("maxpool", "pool%d" % k, (POOL,), (POOL,))
    rows = sketch.rows()
    sketch.flatten("flat")
    for k in range(1, n_dense + 1):
        weight, bias = arrays.linear("fc%d" % k, 2)
        if k == 1 and time_first:
            weight = weight.reshape(-1, rows, channels).transpose(0, 2, 1).reshape(len(weight), -1)
        sketch.dense("fc%d" % k, weight, bias)
        if k < n_dense:
            sketch.norm("bn%d" % (n_convs + k), arrays.norm("bn%d" % (n_convs + k)), EPS, "relu")
    sketch.point("softmax" if sketch.channels() > 1 else "sigmoid", "probability")
    arrays.finish()
    return sketch
