"""Traces of UniPC, DEIS and SA-Solver of diffusers, in the format conformance/1.

    python predictor_corrector.py               writes predictor_corrector.json beside this file
    python predictor_corrector.py --random 300 --seed 1 --out /tmp/cases.json

Needs torch 2.11.0 and diffusers 0.42.1.
"""

import argparse
import importlib
import json
import pathlib
import sys

import numpy as np
import torch

from dpm_solver import lambda_answer, thresholding
from sigma_space import Mixture, Noise, brief, finite, maybe, one_shape, pick, training

HERE = pathlib.Path(__file__).parent
MODULES = {
    "UniPCMultistepScheduler": "unipc_multistep",
    "DEISMultistepScheduler": "deis_multistep",
    "SASolverScheduler": "sasolver",
}
STEPS = [1, 2, 3, 4, 5, 7, 10, 11, 14, 15, 16, 20, 25, 30, 50, 61]


def run(rng, config, steps, dimension=3):
    name = config["_class_name"]
    module = importlib.import_module("diffusers.schedulers.scheduling_" + MODULES[name])
    scheduler = getattr(module, name)(**{k: v for k, v in config.items() if not k.startswith("_")})
    scheduler.set_timesteps(steps)
    mixture, noise = Mixture(rng, dimension), Noise(rng)
    module.randn_tensor = lambda shape, dtype=None, **_: noise.like(shape[:2], dtype)[..., None]
    x = torch.from_numpy(rng.normal(size=(2, dimension))) * float(scheduler.init_noise_sigma)
    init = x.tolist()
    levels, trace = [], []
    for timestep in scheduler.timesteps:
        if scheduler.step_index is None:
            scheduler._init_step_index(timestep)
        sigma = float(scheduler.sigmas[scheduler.step_index])
        flow = config.get("use_flow_sigmas", False)
        alpha = 1.0 - sigma if flow else 1.0 / (sigma**2 + 1) ** 0.5
        sigma = sigma if flow else sigma * alpha
        noise.calls += 1
        denoised = mixture.denoise(x, alpha, sigma)
        out = lambda_answer(config.get("prediction_type", "epsilon"), denoised, x, alpha, sigma)
        # Thresholding needs samples of two axes or more.
        x = scheduler.step(out[..., None], timestep, x[..., None]).prev_sample[..., 0]
        levels.append([alpha, sigma])
        trace.append(x.double().tolist())
    return {
        "kind": "diffusers-scheduler",
        "scheduler_config": config,
        "num_inference_steps": steps,
        "step_kwargs": {},
        "model": mixture.json(),
        "init": init,
        "noise": noise.draws,
        "expect": {
            "timesteps": scheduler.timesteps.double().tolist(),
            "sigmas": scheduler.sigmas.double().tolist(),
            "alpha_sigma": levels,
            "trace": trace,
        },
    }


def random_case(rng):
    name = pick(rng, list(MODULES))
    config, steps = {"_class_name": name}, pick(rng, STEPS)
    training(rng, config)
    one_shape(rng, config)
    shaped = any(key.startswith("use_") for key in config)
    if rng.random() < (0.15 if name.startswith("UniPC") and shaped else 0.0 if shaped else 0.4):
        config["use_flow_sigmas"] = True
        maybe(rng, config, "flow_shift", [3.0, 0.5, 7.0])
    kinds = ["epsilon", "sample", "v_prediction", "flow_prediction"]
    noise = False
    if name.startswith("UniPC"):
        maybe(rng, config, "predict_x0", [True, False], 0.6)
        noise = not config.get("predict_x0", True)
        maybe(rng, config, "solver_order", [1, 2, 3, 3, 4, 5], 0.8)
        maybe(rng, config, "solver_type", ["bh1", "bh1", "bh2", "midpoint"], 0.6)
        if rng.random() < 0.3:
            config["disable_corrector"] = [int(i) for i in rng.integers(0, 12, size=int(rng.integers(1, 4)))]
        maybe(rng, config, "final_sigmas_type", ["zero", "sigma_min"])
        if noise or config.get("solver_type") == "bh1":
            config["final_sigmas_type"] = "sigma_min"
        maybe(rng, config, "rescale_betas_zero_snr", [True, False], 0.3)
        if shaped:
            maybe(rng, config, "sigma_min", [0.01, 0.1, None], 0.3)
            maybe(rng, config, "sigma_max", [0.9, 10.0, 90.0, None], 0.3)
        if config.get("use_flow_sigmas"):
            maybe(rng, config, "shift_terminal", [0.1, 0.02, None], 0.3)
        maybe(rng, config, "time_shift_type", ["exponential"], 0.1)
    elif name.startswith("DEIS"):
        maybe(rng, config, "solver_order", [1, 2, 3, 3, 4], 0.8)
        maybe(rng, config, "solver_type", ["logrho", "midpoint", "bh2"], 0.3)
        maybe(rng, config, "algorithm_type", ["deis", "dpmsolver++"], 0.3)
    else:
        maybe(rng, config, "predictor_order", [1, 2, 3, 4], 0.7)
        maybe(rng, config, "corrector_order", [1, 2, 3, 4], 0.7)
        maybe(rng, config, "algorithm_type", ["data_prediction", "noise_prediction"], 0.6)
        noise = config.get("algorithm_type") == "noise_prediction"
        maybe(rng, config, "variance_type", ["learned", "learned_range"], 0.1)
        if rng.random() < 0.3:
            config["lambda_min_clipped"] = float(pick(rng, [-5.1, -3.0, -1.0]))
        maybe(rng, config, "tau_func", [None], 0.1)
    maybe(rng, config, "lower_order_final", [True, False])
    maybe(rng, config, "prediction_type", kinds[:3] if noise else kinds, 0.8)
    thresholding(rng, config)
    return lambda: run(rng, config, steps)


def random_cases(count, seed, verbose):
    rng = np.random.default_rng(seed)
    cases, refused = [], 0
    while len(cases) < count:
        make = random_case(rng)
        try:
            case = make()
        except Exception as error:  # what the peer cannot do ours must refuse, which is tried elsewhere
            refused += 1
            if verbose:
                print(f"{type(error).__name__}: {error}", file=sys.stderr)
            continue
        if finite(case["expect"]):
            config = case["scheduler_config"]
            case["tolerance"] = 3e-5
            case["name"] = f"{len(cases)} {config['_class_name']} n={case['num_inference_steps']} {brief(config)}"
            cases.append(case)
        else:
            refused += 1
    print(f"{len(cases)} cases, {refused} left out", file=sys.stderr)
    return cases


def golden():
    uni, deis, sa = MODULES
    configs = [
        (10, uni, {"solver_order": 3, "disable_corrector": [0, 4]}),
        (8, uni, {"solver_order": 3, "solver_type": "bh1", "final_sigmas_type": "sigma_min", "use_karras_sigmas": True}),
        (9, uni, {"predict_x0": False, "final_sigmas_type": "sigma_min", "prediction_type": "v_prediction"}),
        (7, uni, {"use_flow_sigmas": True, "flow_shift": 3.0, "shift_terminal": 0.1, "prediction_type": "flow_prediction"}),
        (6, uni, {"use_flow_sigmas": True, "use_karras_sigmas": True, "prediction_type": "v_prediction"}),
        (6, uni, {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing", "prediction_type": "sample",
                  "thresholding": True, "dynamic_thresholding_ratio": 0.7, "sample_max_value": 1.2}),
        (16, deis, {"solver_order": 3, "beta_schedule": "scaled_linear"}),
        (9, deis, {"solver_order": 3, "use_exponential_sigmas": True}),
        (6, deis, {"use_flow_sigmas": True, "flow_shift": 2.0, "prediction_type": "flow_prediction"}),
        (10, sa, {}),
        (12, sa, {"predictor_order": 3, "corrector_order": 4, "use_karras_sigmas": True, "prediction_type": "sample"}),
        (8, sa, {"predictor_order": 3, "corrector_order": 1, "algorithm_type": "noise_prediction"}),
        (7, sa, {"use_flow_sigmas": True, "lower_order_final": False, "lambda_min_clipped": -5.1}),
    ]
    rng = np.random.default_rng(0)
    cases = []
    for steps, name, config in configs:
        case = run(rng, {"_class_name": name, **config}, steps, 2)
        cases.append(case | {"tolerance": 3e-5, "name": f"{name} n={steps} {brief(config)}"})
    return cases


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--random", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "predictor_corrector.json")
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    if arguments.random is None:
        cases = golden()
    else:
        cases = random_cases(arguments.random, arguments.seed, arguments.verbose)
    peer = {"name": "diffusers", "version": "0.42.1"}
    arguments.out.write_text(json.dumps({"format": "conformance/1", "peer": peer, "cases": cases}, allow_nan=False))


if __name__ == "__main__":
    main()
