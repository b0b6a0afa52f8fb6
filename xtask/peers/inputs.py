"""Numbers that both sides of a measurement make for themselves, as `bench/inputs.rs` of `ablate` does."""

import numpy as np


def uniforms(stream, count):
    """`count` uniforms in [0, 1): SplitMix64 of a stream's number and a place."""
    with np.errstate(over="ignore"):
        z = (np.uint64(stream << 40) + np.arange(1, count + 1, dtype=np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) / 2.0**53


def normals(stream, count):
    """`count` standard normals, by Box and Muller, from uniforms 2i and 2i + 1."""
    pairs = uniforms(stream, 2 * count).reshape(count, 2)
    return np.sqrt(-2.0 * np.log(1.0 - pairs[:, 0])) * np.cos(2.0 * np.pi * pairs[:, 1])
