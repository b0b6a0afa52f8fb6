"""Traces of diffusers' schedulers on the variance-preserving table and of those for consistency models, in the format conformance/1.

    python t_space.py                       writes t_space.json beside this file
    python t_space.py --random 300 --seed 1 --out /tmp/cases.json [--refused /tmp/refused.json]

Needs torch 2.11.0 and diffusers 0.42.1.
"""

import argparse
import importlib
import json
import pathlib
import sys

import numpy as np
import torch

from sigma_space import Mixture, Noise, answer, brief, finite, maybe, pick

HERE = pathlib.Path(__file__).parent
MODULES = {
    "DDPMScheduler": "ddpm",
    "DDPMParallelScheduler": "ddpm_parallel",
    "UnCLIPScheduler": "unclip",
    "DDIMScheduler": "ddim",
    "DDIMParallelScheduler": "ddim_parallel",
    "DDIMInverseScheduler": "ddim_inverse",
    "PNDMScheduler": "pndm",
    "IPNDMScheduler": "ipndm",
    "LCMScheduler": "lcm",
    "TCDScheduler": "tcd",
    "CMStochasticIterativeScheduler": "consistency_models",
    "RePaintScheduler": "repaint",
    "ScoreSdeVeScheduler": "sde_ve",
}


def level(scheduler, name, timestep, index):
    if name == "IPNDMScheduler":
        return float(scheduler.alphas[index]), float(scheduler.betas[index])
    if name == "CMStochasticIterativeScheduler":
        return 1.0, float(scheduler.sigmas[index])
    alpha_bar = scheduler.alphas_cumprod[int(timestep)]
    return float(alpha_bar**0.5), float((1 - alpha_bar) ** 0.5)


def network(config, denoised, x, alpha, sigma):
    """The answer in the prediction type of the class, which is not always an option."""
    name = config["_class_name"]
    if name == "CMStochasticIterativeScheduler":
        return answer((config.get("sigma_data", 0.5), 1.0), denoised, x, alpha, sigma)
    kind = "v_prediction" if name == "IPNDMScheduler" else config.get("prediction_type", "epsilon")
    return answer(kind, denoised, x, alpha, sigma)


def constructed(config):
    name = config["_class_name"]
    module = importlib.import_module("diffusers.schedulers.scheduling_" + MODULES[name])
    return module, getattr(module, name)(**{k: v for k, v in config.items() if not k.startswith("_")})


def run(rng, config, steps, step_kwargs, dimension=3):
    runs = {"RePaintScheduler": run_repaint, "ScoreSdeVeScheduler": run_score_sde}
    return runs.get(config["_class_name"], run_scheduler)(rng, config, steps, step_kwargs, dimension)


def run_repaint(rng, config, steps, step_kwargs, dimension):
    """As the pipeline drives it; the trace has the state before each call of the network but the first, and the result."""
    module, scheduler = constructed(config)
    names = ("jump_length", "jump_n_sample")
    scheduler.set_timesteps(steps, **{k: v for k, v in step_kwargs.items() if k in names})
    mixture, noise = Mixture(rng, dimension), Noise(rng)
    module.randn_tensor = lambda shape, dtype=None, **_: noise.like(shape, dtype)
    x = torch.from_numpy(rng.normal(size=(2, dimension)))
    image = torch.from_numpy(rng.normal(size=(2, dimension)) * 0.5)
    mask = torch.from_numpy(rng.integers(0, 2, size=(2, dimension))).double()
    init = x.tolist()
    levels, trace, timesteps = [], [], []
    last = int(scheduler.timesteps[0]) + 1
    for timestep in scheduler.timesteps:
        if timestep < last:
            if levels:
                trace.append(x.tolist())
            alpha, sigma = level(scheduler, "RePaintScheduler", timestep, None)
            noise.calls += 1
            out = answer("epsilon", mixture.denoise(x, alpha, sigma), x, alpha, sigma)
            x = scheduler.step(out, timestep, x, image, mask).prev_sample
            levels.append([alpha, sigma])
            timesteps.append(float(timestep))
        else:
            x = scheduler.undo_step(x, last)
        last = timestep
    trace.append(x.tolist())
    given = step_kwargs | {"original_image": image.tolist(), "mask": mask.tolist()}
    expect = {"timesteps": timesteps, "alpha_sigma": levels, "trace": trace}
    return case_of(config, steps, given, mixture, init, noise, expect)


def run_score_sde(rng, config, steps, step_kwargs, dimension):
    """As the pipeline drives it; the trace has the state after each call of the network, at the end without its noise."""
    module, scheduler = constructed(config)
    scheduler.set_timesteps(steps)
    scheduler.set_sigmas(steps)
    mixture, noise = Mixture(rng, dimension), Noise(rng)
    module.randn_tensor = lambda shape, dtype=None, **_: noise.like(shape, dtype or torch.float64)
    x = torch.from_numpy(rng.normal(size=(2, dimension))) * scheduler.init_noise_sigma
    init = x.tolist()
    levels, trace = [], []

    def score(x, sigma):
        noise.calls += 1
        levels.append([1.0, sigma])
        return (mixture.denoise(x, 1.0, sigma) - x) / sigma**2

    for index, timestep in enumerate(scheduler.timesteps):
        sigma = float(scheduler.sigmas[index])
        for _ in range(scheduler.config.correct_steps):
            x = scheduler.step_correct(score(x, sigma), x).prev_sample
            trace.append(x.tolist())
        output = scheduler.step_pred(score(x, sigma), timestep, x)
        x = output.prev_sample
        trace.append(x.tolist())
    trace[-1] = output.prev_sample_mean.tolist()
    expect = {"timesteps": [sigma for _, sigma in levels], "alpha_sigma": levels, "trace": trace}
    return case_of(config, steps, step_kwargs, mixture, init, noise, expect)


def run_scheduler(rng, config, steps, step_kwargs, dimension):
    name = config["_class_name"]
    module, scheduler = constructed(config)
    scheduler.set_timesteps(steps)
    mixture, noise = Mixture(rng, dimension), Noise(rng)
    module.randn_tensor = lambda shape, dtype=None, **_: noise.like(shape[:-1], dtype)[..., None]
    x = torch.from_numpy(rng.normal(size=(2, dimension))) * float(scheduler.init_noise_sigma)
    init = x.tolist()
    levels, trace = [], []
    for index, timestep in enumerate(scheduler.timesteps):
        if name == "CMStochasticIterativeScheduler":
            scheduler.scale_model_input(x, timestep)
        alpha, sigma = level(scheduler, name, timestep, index)
        noise.calls += 1
        out = network(config, mixture.denoise(x, alpha, sigma), x, alpha, sigma)
        told = int(timestep) if name in ("DDPMScheduler", "UnCLIPScheduler") and index % 2 else timestep
        # Thresholding takes images.
        x = scheduler.step(out[..., None], told, x[..., None], **step_kwargs).prev_sample[..., 0]
        levels.append([alpha, sigma])
        trace.append(x.double().tolist())
    expect = {
        "timesteps": scheduler.timesteps.double().tolist(),
        "alpha_sigma": levels,
        "trace": trace,
    }
    if name == "CMStochasticIterativeScheduler":
        expect["sigmas"] = scheduler.sigmas.double().tolist()
    return case_of(config, steps, step_kwargs, mixture, init, noise, expect)


def case_of(config, steps, step_kwargs, mixture, init, noise, expect):
    return {
        "kind": "diffusers-scheduler",
        "scheduler_config": config,
        "num_inference_steps": steps,
        "step_kwargs": step_kwargs,
        "model": mixture.json(),
        "init": init,
        "noise": noise.draws,
        "expect": expect,
    }


def clipping(rng, config, thresholds=True):
    maybe(rng, config, "clip_sample", [True, False], 0.7)
    maybe(rng, config, "clip_sample_range", [0.5, 1.0, 1.7], 0.4)
    if thresholds and rng.random() < 0.2:
        config["thresholding"] = True
        maybe(rng, config, "dynamic_thresholding_ratio", [0.995, 0.5, 0.8, 1.0, 0.0])
        maybe(rng, config, "sample_max_value", [1.0, 1.5, 3.0, 0.7])


def training(rng, config, schedules):
    maybe(rng, config, "num_train_timesteps", [1000, 500, 1100, 100, 40, 250], 0.4)
    if rng.random() < 0.1:
        count = config["num_train_timesteps"] = 20
        config["trained_betas"] = [float(b) for b in np.linspace(0.01, 0.4, count)]
    else:
        maybe(rng, config, "beta_schedule", schedules, 0.8)
        if rng.random() < 0.5:
            config["beta_start"], config["beta_end"] = pick(rng, [(0.00085, 0.012), (1e-4, 0.02), (0.001, 0.03)])


def random_case(rng, names):
    name = pick(rng, names)
    config, step = {"_class_name": name}, {}
    steps = pick(rng, [1, 2, 3, 4, 5, 6, 7, 10, 11, 13, 15, 20, 25, 29, 30, 40, 50])
    schedules = ["linear", "scaled_linear", "squaredcos_cap_v2"]
    predictions = ["epsilon", "sample", "v_prediction"]
    if name == "UnCLIPScheduler":
        maybe(rng, config, "num_train_timesteps", [1000, 100, 40, 7])
        maybe(rng, config, "prediction_type", predictions[:2])
        clipping(rng, config, thresholds=False)
    elif name == "RePaintScheduler":
        training(rng, config, schedules + ["sigmoid"])
        config.pop("trained_betas", None)
        maybe(rng, config, "eta", [0.0, 0.5, 1.0])
        maybe(rng, config, "clip_sample", [True, False])
        step["jump_length"], step["jump_n_sample"] = pick(rng, [1, 2, 3]), pick(rng, [1, 2, 3])
    elif name == "ScoreSdeVeScheduler":
        maybe(rng, config, "snr", [0.15, 0.05])
        maybe(rng, config, "sigma_min", [0.01, 0.1])
        maybe(rng, config, "sigma_max", [1348.0, 50.0])
        maybe(rng, config, "sampling_eps", [1e-5, 1e-3])
        maybe(rng, config, "correct_steps", [0, 1, 2])
    elif name == "IPNDMScheduler":
        if rng.random() < 0.3:
            config["trained_betas"] = [float(b) for b in np.linspace(1.0, 0.0, pick(rng, [3, 6, 12]))]
    elif name == "CMStochasticIterativeScheduler":
        maybe(rng, config, "num_train_timesteps", [40, 150, 18, 201])
        maybe(rng, config, "sigma_min", [0.002, 0.01, 0.1])
        maybe(rng, config, "sigma_max", [80.0, 20.0])
        maybe(rng, config, "sigma_data", [0.5, 1.0])
        maybe(rng, config, "s_noise", [1.0, 0.9, 1.1])
        maybe(rng, config, "rho", [7.0, 3.0])
        maybe(rng, config, "clip_denoised", [True, False])
    elif name in ("LCMScheduler", "TCDScheduler"):
        training(rng, config, schedules)
        maybe(rng, config, "original_inference_steps", [50, 100, 20, 7])
        maybe(rng, config, "timestep_scaling", [10.0, 1.0, 0.1])
        maybe(rng, config, "rescale_betas_zero_snr", [True, False], 0.4)
        maybe(rng, config, "prediction_type", predictions, 0.7)
        maybe(rng, config, "set_alpha_to_one", [True, False], 0.3)
        clipping(rng, config)
        steps = min(steps, pick(rng, [4, 8, 50]))
        if name == "TCDScheduler":
            maybe(rng, step, "eta", [0.0, 0.3, 0.5, 1.0], 0.7)
    else:
        training(rng, config, schedules + (["sigmoid", "laplace"] if name.startswith("DDPM") else []))
        maybe(rng, config, "timestep_spacing", ["linspace", "leading", "trailing"], 0.7)
        maybe(rng, config, "steps_offset", [0, 1, 2], 0.4)
        if name == "PNDMScheduler":
            maybe(rng, config, "skip_prk_steps", [True, False], 0.8)
            maybe(rng, config, "set_alpha_to_one", [True, False])
            maybe(rng, config, "prediction_type", ["epsilon", "v_prediction"])
        else:
            maybe(rng, config, "prediction_type", predictions, 0.7)
            maybe(rng, config, "rescale_betas_zero_snr", [True, False], 0.4)
            clipping(rng, config, thresholds=name != "DDIMInverseScheduler")
        if name.startswith("DDPM"):
            kinds = ["fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log", "learned", "learned_range"]
            maybe(rng, config, "variance_type", kinds[: pick(rng, [3, 3, 3, 6])], 0.7)
        if name.startswith("DDIM"):
            maybe(rng, config, "set_alpha_to_one", [True, False])
        if name in ("DDIMScheduler", "DDIMParallelScheduler"):
            maybe(rng, step, "eta", [0.0, 0.3, 0.7, 1.0], 0.7)
            maybe(rng, step, "use_clipped_model_output", [True, False])
    return config, steps, step


def random_cases(count, seed, names):
    rng = np.random.default_rng(seed)
    cases, refused = [], []
    while len(cases) < count:
        config, steps, step = random_case(rng, names)
        try:
            case = run(rng, config, steps, step)
            reason = "" if finite(case["expect"]) else "not finite"
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
        if reason:
            refused.append((config, steps, step, reason))
        else:
            named(case, len(cases))
            cases.append(case)
    print(f"{len(cases)} cases, {len(refused)} that the peer cannot run", file=sys.stderr)
    return cases, refused


def named(case, number=""):
    case["tolerance"] = 3e-5
    config, step = brief(case["scheduler_config"]), brief(case["step_kwargs"])
    name = case["scheduler_config"]["_class_name"]
    case["name"] = f"{number} {name} n={case['num_inference_steps']} {config} {step}".strip()


def impossible(config, steps, step, reason):
    """A case that must be refused, and fails otherwise."""
    case = {
        "kind": "diffusers-scheduler",
        "scheduler_config": config,
        "num_inference_steps": steps,
        "step_kwargs": step,
        "model": {"kind": "gaussian-mixture", "weights": [1.0], "means": [[0.0]], "stds": [1.0]},
        "init": [[1.0]],
        "noise": [],
        "expect": {"trace": []},
    }
    named(case)
    case["name"] += f" -- {reason[:80]}"
    return case


def golden():
    """One or two cases for each class, with the options that change most."""
    latent = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    zero = {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction", "timestep_spacing": "trailing"}
    schedulers = [
        ("DDPMScheduler", {"beta_schedule": "sigmoid", "variance_type": "fixed_large", "timestep_spacing": "linspace"}, 6, {}),
        ("DDPMScheduler", latent | zero | {"variance_type": "fixed_small_log", "thresholding": True,
         "sample_max_value": 1.5, "dynamic_thresholding_ratio": 0.8}, 6, {}),
        ("DDPMParallelScheduler", {"beta_schedule": "laplace", "num_train_timesteps": 100, "timestep_spacing": "trailing",
         "prediction_type": "sample", "steps_offset": 1}, 29, {}),
        ("UnCLIPScheduler", {"clip_sample_range": 0.7}, 5, {}),
        ("DDIMScheduler", latent | zero | {"set_alpha_to_one": False}, 6, {"eta": 0.7}),
        ("DDIMScheduler", {"timestep_spacing": "linspace"}, 7, {"eta": 1.0, "use_clipped_model_output": True}),
        ("DDIMParallelScheduler", {"clip_sample_range": 0.5, "steps_offset": 1}, 6, {}),
        ("DDIMInverseScheduler", {"clip_sample": False}, 6, {}),
        ("DDIMInverseScheduler", latent | {"timestep_spacing": "trailing", "prediction_type": "v_prediction"}, 6, {}),
        ("PNDMScheduler", latent | {"prediction_type": "v_prediction", "set_alpha_to_one": True}, 7, {}),
        ("PNDMScheduler", {"skip_prk_steps": True, "timestep_spacing": "trailing"}, 8, {}),
        ("IPNDMScheduler", {}, 7, {}),
        ("LCMScheduler", {"clip_sample": True, "timestep_scaling": 0.1}, 4, {}),
        ("TCDScheduler", {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True}, 4, {}),
        ("CMStochasticIterativeScheduler", {"clip_denoised": False, "s_noise": 1.1}, 4, {}),
        ("RePaintScheduler", {"eta": 0.5, "num_train_timesteps": 40}, 5, {"jump_length": 2, "jump_n_sample": 2}),
        ("ScoreSdeVeScheduler", {"correct_steps": 2}, 5, {}),
    ]
    rng = np.random.default_rng(0)
    cases = [run(rng, {"_class_name": name} | config, n, step, 2) for name, config, n, step in schedulers]
    for case in cases:
        named(case)
    return cases


def write(path, cases):
    peer = {"name": "diffusers", "version": "0.42.1"}
    path.write_text(json.dumps({"format": "conformance/1", "peer": peer, "cases": cases}, allow_nan=False))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--random", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--names", nargs="+", default=list(MODULES))
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "t_space.json")
    parser.add_argument("--refused", type=pathlib.Path)
    arguments = parser.parse_args()
    if arguments.random is None:
        write(arguments.out, golden())
        return
    cases, refused = random_cases(arguments.random, arguments.seed, arguments.names)
    write(arguments.out, cases)
    if arguments.refused:
        write(arguments.refused, [impossible(*case) for case in refused])


if __name__ == "__main__":
    main()
