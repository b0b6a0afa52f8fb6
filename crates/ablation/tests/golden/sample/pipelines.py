"""Makes a pipeline folder with diffusers, and what diffusers samples from it with given noise.

    python pipelines.py          # writes pipeline/, schedulers/, noise.safetensors and expected.safetensors here

Written with torch 2.11.0, diffusers 0.42.1 and safetensors. Weights and noise are numbers of our own (`normals`),
so that no generator of torch or numpy decides them.

`expected.safetensors` has for each case `<case>.samples` [n, c, h, w], before any rounding to bytes; and for the cases
that a pipeline of diffusers runs by itself `<case>.pixels` [n, h, w, c], the bytes of its pictures.
"""

import hashlib
import shutil
import sys
from pathlib import Path

import diffusers
import numpy as np
import torch
from diffusers import DDIMPipeline, DDPMPipeline, UNet2DModel
from safetensors.torch import save_file

HERE = Path(__file__).parent
SAMPLES, SIDE, STEPS = 4, 8, 6

NETWORK = dict(
    sample_size=SIDE,
    block_out_channels=(8, 8),
    down_block_types=("DownBlock2D", "AttnDownBlock2D"),
    up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    layers_per_block=1,
    norm_num_groups=4,
    attention_head_dim=4,
)

# The answers of such a network are no noise: taken for it they are as good as any where the estimate is clipped;
# elsewhere they are taken for x_0 or v, so that samples stay in the range of pictures.
X0, V = dict(prediction_type="sample"), dict(prediction_type="v_prediction")

# name: class, configuration, arguments of `step`
CASES = {
    "ddpm": ("DDPMScheduler", dict(), dict()),
    "ddpm-large": ("DDPMScheduler", dict(variance_type="fixed_large", beta_schedule="squaredcos_cap_v2"), dict()),
    "ddim": ("DDIMScheduler", dict(), dict()),
    "ddim-eta": ("DDIMScheduler", dict(), dict(eta=0.7)),
    "dpm++2m": ("DPMSolverMultistepScheduler", dict(use_karras_sigmas=True, **V), dict()),
    "dpm++sde": ("DPMSolverMultistepScheduler", dict(algorithm_type="sde-dpmsolver++", **X0), dict()),
    "euler": ("EulerDiscreteScheduler", dict(**V), dict()),
    "euler-churn": ("EulerDiscreteScheduler", dict(**X0), dict(s_churn=3.0, s_noise=1.01)),
    "euler-a": ("EulerAncestralDiscreteScheduler", dict(timestep_spacing="trailing", **V), dict()),
    "heun": ("HeunDiscreteScheduler", dict(**X0), dict()),
    "unipc": ("UniPCMultistepScheduler", dict(**V), dict()),
}


def normals(name: str, *shape: int) -> torch.Tensor:
    """Standard normal numbers that the name alone decides: Box and Muller's from the bytes of a hash."""
    count = int(np.prod(shape))
    blocks = (2 * count + 7) // 8
    words = b"".join(hashlib.blake2b(f"{name}/{i}".encode(), digest_size=64).digest() for i in range(blocks))
    uniform = (np.frombuffer(words, dtype="<u8")[: 2 * count].reshape(2, count) >> 11).astype(np.float64)
    a, b = (uniform + 0.5) / 2.0**53
    return torch.from_numpy((np.sqrt(-2 * np.log(a)) * np.cos(2 * np.pi * b)).reshape(shape)).float()


def network() -> UNet2DModel:
    """The network, with weights of the size that a trained one has."""
    unet = UNet2DModel(**NETWORK).eval()
    with torch.no_grad():
        for name, weight in unet.named_parameters():
            inputs = weight[0].numel() if weight.dim() > 1 else 25
            weight.copy_(normals(name, *weight.shape) / inputs**0.5)
            if "norm" in name and name.endswith("weight"):
                weight += 1.0
    return unet


class Given:
    """In the place of diffusers' generator: the start first, then what belongs to the step that is being made."""

    def __init__(self, initial: torch.Tensor, steps: torch.Tensor):
        self.initial, self.steps, self.step = initial, steps, None

    def __call__(self, shape, **_):
        noise = self.initial if self.step is None else self.steps[self.step]
        assert tuple(shape) == tuple(noise.shape), shape
        return noise.clone()

    def count(self, scheduler):
        """Counts the calls of `step`."""
        step = type(scheduler).step

        def counted(*args, **kwargs):
            self.step = 0 if self.step is None else self.step + 1
            return step(scheduler, *args, **kwargs)

        scheduler.step = counted

    def everywhere(self):
        """Takes the place of `randn_tensor` wherever it was imported."""
        for module in list(sys.modules.values()):
            if getattr(module, "__name__", "").startswith("diffusers") and hasattr(module, "randn_tensor"):
                module.randn_tensor = self


@torch.no_grad()
def loop(unet, scheduler, given: Given, **step) -> torch.Tensor:
    scheduler.set_timesteps(STEPS)
    sample = given((SAMPLES, 3, SIDE, SIDE)) * scheduler.init_noise_sigma
    given.count(scheduler)
    for t in scheduler.timesteps:
        answer = unet(scheduler.scale_model_input(sample, t), t).sample
        sample = scheduler.step(answer, t, sample, **step).prev_sample
    return sample


def main():
    unet = network()
    initial = normals("initial", SAMPLES, 3, SIDE, SIDE)
    steps = normals("steps", STEPS, SAMPLES, 3, SIDE, SIDE)
    save_file({"initial": initial, "steps": steps}, HERE / "noise.safetensors")
    for folder in ("pipeline", "schedulers"):
        shutil.rmtree(HERE / folder, ignore_errors=True)
    expected = {}
    for name, (kind, config, arguments) in CASES.items():
        make = lambda: getattr(diffusers, kind)(**config)
        if name == "ddpm":
            DDPMPipeline(unet, make()).save_pretrained(HERE / "pipeline")
        else:
            make().save_pretrained(HERE / "schedulers" / name)
        given = Given(initial, steps)
        given.everywhere()
        expected[f"{name}.samples"] = loop(unet, make(), given, **arguments)
        pipelines = {"DDPMScheduler": DDPMPipeline, "DDIMScheduler": DDIMPipeline}
        if kind in pipelines:
            given = Given(initial, steps)
            given.everywhere()
            pipeline = pipelines[kind](unet, make())
            pipeline.set_progress_bar_config(disable=True)
            given.count(pipeline.scheduler)
            pictures = pipeline(batch_size=SAMPLES, num_inference_steps=STEPS, **arguments).images
            expected[f"{name}.pixels"] = torch.from_numpy(np.stack([np.array(picture) for picture in pictures]))
        sample = expected[f"{name}.samples"]
        inside = (sample.abs() < 1).float().mean()
        print(f"{name:12} std {sample.std():.3f}, {100 * inside:.0f} % in (-1, 1)")
    save_file(expected, HERE / "expected.safetensors")


if __name__ == "__main__":
    main()
