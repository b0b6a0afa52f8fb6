"""Timesteps and sigmas of diffusers 0.42.1 and k-diffusion 0.1.1.post1, a line each: `function arguments = values`.

`t_space`, `lambda_space` and `sigma_space` have a checksum over all numbers of steps from 1 to 110 and every 13th after that:
h = h * 6364136223846793005 + bits (mod 2**64) over the upper 35 bits of the timesteps as float64, and the steps for which the count is wrong.
`scheduler` lines are the sigmas (float32) and timesteps of a whole scheduler: class, options as key:value, number of steps.
`beta_quantile` is scipy's.

Run in the folder of this file: python grids.py
"""

import importlib.util
import pathlib
import struct
import sys
import types

import diffusers
import numpy
import scipy.stats
import torch

LINES = []


def line(words, values):
    LINES.append(" ".join(map(str, words)) + " = " + " ".join(map(str, values)))


def numbers(tensor):
    return [repr(float(value)) for value in numpy.asarray(tensor).ravel()]


def checksum(h, values):
    for value in values:
        (bits,) = struct.unpack("<Q", struct.pack("<d", float(value)))
        h = (h * 6364136223846793005 + (bits >> 29)) % 2**64
    return h


FAMILIES = [
    ("t_space", diffusers.DDIMScheduler),
    ("lambda_space", diffusers.UniPCMultistepScheduler),
    ("sigma_space", diffusers.EulerAncestralDiscreteScheduler),
]
for name, cls in FAMILIES:
    for train in (100, 999, 1000, 1100):
        for spacing in ("linspace", "leading", "trailing"):
            offset = 1 if spacing == "leading" else 0
            scheduler = cls(num_train_timesteps=train, timestep_spacing=spacing, steps_offset=offset)
            h, wrong = 0, []
            for steps in [*range(1, min(110, train + 1)), *range(110, train + 1, 13)]:
                scheduler.set_timesteps(steps)
                timesteps = scheduler.timesteps.tolist()
                h = checksum(h, timesteps)
                if len(timesteps) != steps:
                    wrong.append(steps)
            line([name, spacing, offset, train], [f"{h:016x}", *wrong])

OPTIONS = {
    "EulerDiscreteScheduler": [
        {"use_karras_sigmas": True},
        {"use_exponential_sigmas": True},
        {"use_beta_sigmas": True},
        {"interpolation_type": "log_linear"},
        {},
    ],
    "DPMSolverMultistepScheduler": [
        {"use_karras_sigmas": True},
        {"use_exponential_sigmas": True},
        {"use_beta_sigmas": True},
        {"use_lu_lambdas": True},
        {"use_flow_sigmas": True, "flow_shift": 3.0},
        {},
    ],
    "EDMDPMSolverMultistepScheduler": [{"sigma_schedule": "karras"}, {"sigma_schedule": "exponential"}],
}
for cls, rows in OPTIONS.items():
    tables = [{}]
    if cls.startswith(("Euler", "DPM")):
        tables = [
            {"beta_schedule": "linear"},
            {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
            {"beta_schedule": "squaredcos_cap_v2"},
        ]
    for options in rows:
        for table in tables:
            for steps in (1, 2, 7, 20):
                scheduler = getattr(diffusers, cls)(**table, **options)
                scheduler.set_timesteps(steps)
                words = [f"{key}:{value}" for key, value in {**table, **options}.items()]
                values = [*numbers(scheduler.sigmas), "/", *numbers(scheduler.timesteps)]
                line(["scheduler", cls, *words, steps], values)

for train, original, steps, strength in [(1000, 50, 4, 1.0), (1000, 50, 7, 0.8), (100, 20, 3, 0.5)]:
    scheduler = diffusers.LCMScheduler(num_train_timesteps=train)
    scheduler.set_timesteps(steps, original_inference_steps=original, strength=strength)
    line(["lcm", train, original, steps, strength], scheduler.timesteps.tolist())
for train, steps, length, samples in [(1000, 50, 10, 3), (100, 30, 4, 2)]:
    scheduler = diffusers.RePaintScheduler(num_train_timesteps=train)
    scheduler.set_timesteps(steps, length, samples)
    line(["repaint", train, steps, length, samples], scheduler.timesteps.tolist())

for shift in (1.0, 3.0):
    for steps in (1, 2, 10):
        scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=shift)
        scheduler.set_timesteps(steps)
        line(["flow_match", 1000, shift, steps], numbers(scheduler.sigmas))

# The package's __init__ imports things that grids do not need.
for missing in ("torchdiffeq", "torchsde"):
    sys.modules.setdefault(missing, types.SimpleNamespace(odeint=None))
folder = pathlib.Path(importlib.util.find_spec("k_diffusion").submodule_search_locations[0])
package = types.ModuleType("k_diffusion")
package.__path__ = [str(folder)]
sys.modules["k_diffusion"] = package
sys.modules["k_diffusion.utils"] = package.utils = types.ModuleType("k_diffusion.utils")
spec = importlib.util.spec_from_file_location("k_diffusion.sampling", folder / "sampling.py")
sampling = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sampling)
for steps in (1, 2, 5, 18):
    for low, high in ((0.002, 80.0), (0.03, 14.6)):
        line(["k_karras", steps, low, high, 7.0], numbers(sampling.get_sigmas_karras(steps, low, high)))
        line(["k_exponential", steps, low, high], numbers(sampling.get_sigmas_exponential(steps, low, high)))
        for rho in (1.0, 2.5):
            sigmas = sampling.get_sigmas_polyexponential(steps, low, high, rho)
            line(["k_polyexponential", steps, low, high, rho], numbers(sigmas))
    line(["k_vp", steps, 19.9, 0.1, 0.001], numbers(sampling.get_sigmas_vp(steps)))

# NumPy's own float32 logarithm, on a processor with AVX2 or AVX-512.
sigmas = numpy.exp(numpy.linspace(-8, 12, 150)).astype(numpy.float32)
line(["log", *numbers(sigmas)], numbers(numpy.log(sigmas)))

for shapes in ((0.6, 0.6), (2.0, 5.0), (0.3, 7.5)):
    probabilities = [1e-9, 0.001, 0.1, 0.25, 0.5, 0.8, 0.999]
    line(["beta_quantile", *shapes, *probabilities], numbers(scipy.stats.beta.ppf(probabilities, *shapes)))

pathlib.Path("grids.txt").write_text("\n".join(LINES) + "\n")
