"""Float32 tables of diffusers 0.42.1 on torch 2.11.0, a line each: `schedule start end levels rescale quantity checksum values`.

`rescale` is none, zero (zero terminal SNR) or floor (zero terminal SNR, last alpha_bar 2**-24);
`quantity` is betas, alpha_bars or sigmas.
The checksum is h = h * 6364136223846793005 + bits (mod 2**64) over the bit patterns of all numbers, from h = 0;
the values are every 97th, counted back from the last but one.
torch takes square roots and exponentials from libraries whose last bit depends on the processor,
so checksums of what comes after a square root or an exponential in float32 are not portable; they are written as `-`.

Run in the folder of this file: python single.py
"""

import itertools

from diffusers import DDPMScheduler, EulerDiscreteScheduler, HeunDiscreteScheduler
import torch

LEVELS = (10, 40, 256, 999, 1000, 1100, 2000)
RANGES = ((1e-4, 0.02), (0.00085, 0.012), (0.0015, 0.0155))


def checksum(values):
    h = 0
    for bits in values.contiguous().view(torch.int32).tolist():
        h = (h * 6364136223846793005 + (bits & 0xFFFFFFFF)) % 2**64
    return f"{h:016x}"


def scheduler(name, start, end, levels, rescale):
    options = dict(beta_start=start, beta_end=end, num_train_timesteps=levels, beta_schedule=name)
    if name == "exp":
        return HeunDiscreteScheduler(**options)
    if rescale == "floor":
        return EulerDiscreteScheduler(**options, rescale_betas_zero_snr=True)
    return DDPMScheduler(**options, rescale_betas_zero_snr=rescale == "zero")


RESCALES = {"exp": ("none",), "laplace": ("none", "zero"), "sigmoid": ("none", "zero")}

with open("single.txt", "w") as out:
    for name in ("linear", "scaled_linear", "squaredcos_cap_v2", "exp", "laplace", "sigmoid"):
        ranges = RANGES if name in ("linear", "scaled_linear", "sigmoid") else RANGES[:1]
        rescales = RESCALES.get(name, ("none", "zero", "floor"))
        for (start, end), levels, rescale in itertools.product(ranges, LEVELS, rescales):
            s = scheduler(name, start, end, levels, rescale)
            alpha_bars = s.alphas_cumprod
            quantities = {"betas": s.betas, "alpha_bars": alpha_bars, "sigmas": ((1 - alpha_bars) / alpha_bars) ** 0.5}
            for quantity, values in quantities.items():
                exact = rescale == "none" and quantity != "sigmas" and name != "sigmoid"
                listed = (format(value, ".9g") for value in values.flip(0)[1::97].tolist())
                print(name, start, end, levels, rescale, quantity, checksum(values) if exact else "-", *listed, file=out)
