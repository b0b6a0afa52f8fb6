"""Weights and inputs that a name decides, so that goldens need not store them.

`uniform` and `weight` are also in tests/common/mod.rs, number for number.
"""

import numpy
import torch


def uniform(name, count):
    """The numbers of a tensor: uniform in [-1, 1), exact in 24 bits; splitmix64 from the name's FNV-1a."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x100000001B3) % 2**64
    with numpy.errstate(over="ignore"):
        z = numpy.uint64(seed) + numpy.arange(1, count + 1, dtype=numpy.uint64) * numpy.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        z = z ^ (z >> numpy.uint64(31))
    return (z >> numpy.uint64(40)).astype(numpy.float64) / 2**23 - 1


def weight(name, shape):
    """Of variance 1 / fan-in; scales (vectors called weight) about 1."""
    values = uniform(name, int(numpy.prod(shape)))
    if 1 < len(shape):
        values = values * numpy.sqrt(3 / numpy.prod(shape[1:]))
    elif name.endswith("weight"):
        values = 1 + values / 2
    else:
        values = values / 4
    return torch.from_numpy(values.reshape(shape))


def noise(name, shape):
    """Of variance 1."""
    return torch.from_numpy((uniform(name, int(numpy.prod(shape))) * numpy.sqrt(3)).reshape(shape))
