"""Traces of the DPM-Solver family of diffusers and k-diffusion, in the format conformance/1.

    python dpm_solver.py                        writes dpm_solver.json beside this file
    python dpm_solver.py --random 300 --seed 1 --out /tmp/cases.json

Needs torch 2.11.0, diffusers 0.42.1 and k-diffusion 0.1.1.post1.
"""

import argparse
import importlib
import json
import pathlib
import sys
import types

import numpy as np
import torch

from sigma_space import Mixture, Noise, answer, brief, finite, k_sampling, maybe, one_shape, pick, training

HERE = pathlib.Path(__file__).parent
MODULES = {
    "DPMSolverMultistepScheduler": "dpmsolver_multistep",
    "DPMSolverMultistepInverseScheduler": "dpmsolver_multistep_inverse",
    "DPMSolverSinglestepScheduler": "dpmsolver_singlestep",
    "DPMSolverSDEScheduler": "dpmsolver_sde",
    "EDMDPMSolverMultistepScheduler": "edm_dpmsolver_multistep",
    "CosineDPMSolverMultistepScheduler": "cosine_dpmsolver_multistep",
}


def lambda_answer(kind, denoised, x, alpha, sigma):
    """As in sigma-space, but that v is not normalised and a flow's answer has its name here."""
    if kind == "v_prediction":
        return alpha * (x - alpha * denoised) / sigma - sigma * denoised
    return answer("flow" if kind == "flow_prediction" else kind, denoised, x, alpha, sigma)


def run_scheduler(rng, config, steps, step_kwargs, dimension=3):
    name = config["_class_name"]
    importlib.import_module("diffusers.schedulers.scheduling_ddim")
    # What draws Brownian paths is replaced below, so that it need not be there.
    sys.modules.setdefault("torchsde", types.ModuleType("torchsde"))
    module = importlib.import_module("diffusers.schedulers.scheduling_" + MODULES[name])
    scheduler = getattr(module, name)(**{k: v for k, v in config.items() if not k.startswith("_")})
    scheduler.set_timesteps(steps)
    mixture, noise = Mixture(rng, dimension), Noise(rng)
    # Independent draws, of the shape of a state.
    draw = lambda shape, dtype: noise.like(shape[:2], dtype).reshape(shape)
    module.randn_tensor = lambda shape, dtype=None, **_: draw(shape, dtype)
    module.BrownianTreeNoiseSampler = lambda x, *_, **__: lambda *_: draw(x.shape, x.dtype)
    x = torch.from_numpy(rng.normal(size=(2, dimension))) * float(scheduler.init_noise_sigma)
    init = x.tolist()
    kind = config.get("prediction_type", "v_prediction" if name.startswith("Cosine") else "epsilon")
    exploding = name.startswith(("EDM", "Cosine", "DPMSolverSDE"))
    levels, trace = [], []
    for timestep in scheduler.timesteps:
        if exploding:
            scheduler.scale_model_input(x, timestep)
        elif scheduler.step_index is None:
            scheduler._init_step_index(timestep)
        sigma = float(scheduler.sigmas[scheduler.step_index])
        if name == "DPMSolverSDEScheduler" and not scheduler.state_in_first_order:
            sigma = float(scheduler.mid_point_sigma)
        alpha = 1.0
        if not exploding:
            alpha = 1.0 - sigma if config.get("use_flow_sigmas") else 1.0 / (sigma**2 + 1) ** 0.5
            sigma = sigma if config.get("use_flow_sigmas") else sigma * alpha
        noise.calls += 1
        denoised = mixture.denoise(x, alpha, sigma)
        if name == "DPMSolverSDEScheduler":
            out = answer(kind, denoised, x, alpha, sigma)
        elif exploding:
            data = config.get("sigma_data", 1.0 if name.startswith("Cosine") else 0.5)
            out = answer((data, -1.0 if kind == "v_prediction" else 1.0), denoised, x, alpha, sigma)
        else:
            out = lambda_answer(kind, denoised, x, alpha, sigma)
        # Thresholding wants an image: channels and one more axis.
        image = config.get("thresholding", False)
        shown = (v[..., None] if image else v for v in (out, x))
        result = scheduler.step(next(shown), timestep, next(shown), **step_kwargs).prev_sample
        # Where a formula is for another shape, broadcasting may hide it.
        assert result.shape == (*x.shape, 1) if image else x.shape
        x = result[..., 0] if image else result
        levels.append([alpha, sigma])
        trace.append(x.double().tolist())
    return {
        "kind": "diffusers-scheduler",
        "scheduler_config": config,
        "num_inference_steps": steps,
        "step_kwargs": step_kwargs,
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


def run_k(rng, sampler, where, kwargs):
    """`where` is a grid, or (sigma_min, sigma_max, *args) for the samplers that choose their own."""
    sampling = k_sampling()
    ranged = isinstance(where, tuple)
    mixture, noise = Mixture(rng, 3), Noise(rng)
    asked, trace = [], []

    def model(x, sigma):
        noise.calls += 1
        asked.append(float(sigma[0]))
        return mixture.denoise(x, 1.0, float(sigma[0]))

    if ranged:
        start, arguments = where[1], where
    else:
        sigmas = getattr(sampling, "get_sigmas_" + where["kind"])(**{k: v for k, v in where.items() if k != "kind"})
        # The grid is in float32; what follows is done in float64.
        sigmas = sigmas.double()
        start, arguments = float(sigmas[0]), (sigmas,)
    x = torch.from_numpy(rng.normal(size=(2, 3))) * start
    init = x.tolist()
    drawn = lambda *_: noise.like(x.shape)
    given = {} if sampler == "sample_dpmpp_2m" else {"noise_sampler": drawn}
    callback = lambda info: trace.append(info["x"].double().tolist())
    result = getattr(sampling, sampler)(model, x, *arguments, callback=callback, disable=True, **given, **kwargs)
    case = {
        "kind": "k-diffusion-sampler",
        "sampler": sampler,
        "kwargs": kwargs,
        "model": mixture.json(),
        "init": init,
        "noise": noise.draws,
        "expect": {"denoiser_sigmas": asked, "trace": [result.tolist()] if ranged else trace + [result.tolist()]},
    }
    if ranged:
        return case | {"sigma_range": list(where[:2]), "args": list(where[2:])}
    case["expect"]["sigmas"] = sigmas.double().tolist()
    return case | {"sigma_grid": where}


def thresholding(rng, config):
    if rng.random() < 0.25:
        config["thresholding"] = True
        maybe(rng, config, "dynamic_thresholding_ratio", [0.9, 0.5, 1.0])
        maybe(rng, config, "sample_max_value", [1.5, 3.0, 0.8], 0.7)


def random_scheduler(rng):
    name = pick(rng, [*MODULES, "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler"])
    config, step = {"_class_name": name}, {}
    steps = pick(rng, [1, 2, 3, 4, 5, 7, 10, 11, 14, 15, 16, 20, 25, 30, 50, 61])
    if name.startswith(("EDM", "Cosine")):
        maybe(rng, config, "sigma_min", [0.002, 0.01, 0.3])
        maybe(rng, config, "sigma_max", [80.0, 20.0, 500.0])
        maybe(rng, config, "sigma_data", [0.5, 1.0])
        maybe(rng, config, "rho", [7.0, 3.0, 1.0])
        maybe(rng, config, "sigma_schedule", ["karras", "exponential"])
        maybe(rng, config, "prediction_type", ["epsilon", "v_prediction"])
        maybe(rng, config, "solver_order", [1, 2, 3], 0.7)
        if name.startswith("EDM"):
            maybe(rng, config, "algorithm_type", ["dpmsolver++", "sde-dpmsolver++", "deis"])
            thresholding(rng, config)
        maybe(rng, config, "final_sigmas_type", ["zero", "sigma_min"])
    else:
        training(rng, config)
        one_shape(rng, config)
        if name == "DPMSolverSDEScheduler":
            maybe(rng, config, "prediction_type", ["epsilon", "v_prediction"], 0.7)
            maybe(rng, config, "noise_sampler_seed", [3, None], 0.2)
            maybe(rng, step, "s_noise", [0.9, 1.1])
            return lambda: run_scheduler(rng, config, steps, step)
        if not any(key.startswith("use_") for key in config):
            if rng.random() < 0.4:
                config["use_flow_sigmas"] = True
                maybe(rng, config, "flow_shift", [3.0, 0.5, 7.0])
            elif name == "DPMSolverMultistepScheduler" and rng.random() < 0.4:
                config["use_lu_lambdas"] = True
        algorithms = ["dpmsolver++", "dpmsolver", "sde-dpmsolver++", "sde-dpmsolver"]
        if "Singlestep" in name:
            del algorithms[3]
            config.pop("timestep_spacing", None)
            config.pop("steps_offset", None)
        maybe(rng, config, "algorithm_type", algorithms, 0.8)
        noisy = config.get("algorithm_type", "dpmsolver++") in ("dpmsolver", "sde-dpmsolver")
        kinds = ["epsilon", "sample", "v_prediction"] + ([] if noisy else ["flow_prediction"])
        maybe(rng, config, "prediction_type", kinds, 0.8)
        maybe(rng, config, "solver_order", [1, 2, 3, 3], 0.8)
        if rng.random() < 0.3:
            config["lambda_min_clipped"] = float(pick(rng, [-5.1, -3.0, -1.0]))
        thresholding(rng, config)
        maybe(rng, config, "variance_type", ["learned", "learned_range"], 0.1)
        if name == "DPMSolverMultistepScheduler":
            maybe(rng, config, "rescale_betas_zero_snr", [True, False], 0.4)
        if "Inverse" not in name:
            if noisy:
                config["final_sigmas_type"] = "sigma_min"
            else:
                maybe(rng, config, "final_sigmas_type", ["zero", "sigma_min"])
    maybe(rng, config, "solver_type", ["midpoint", "heun", "bh2"], 0.7)
    maybe(rng, config, "lower_order_final", [True, False])
    if "Singlestep" not in name:
        maybe(rng, config, "euler_at_final", [True, False], 0.3)
    return lambda: run_scheduler(rng, config, steps, step)


def random_k(rng):
    kind = pick(rng, ["karras", "exponential", "polyexponential", "vp"])
    grid = {"kind": kind, "n": int(pick(rng, [2, 3, 5, 8, 12, 20, 33, 50]))}
    if kind == "vp":
        maybe(rng, grid, "beta_d", [19.9, 10.0])
    else:
        grid["sigma_min"], grid["sigma_max"] = pick(rng, [(0.01, 50.0), (0.002, 80.0), (0.1, 10.0)])
        if kind != "exponential":
            maybe(rng, grid, "rho", [7.0, 1.0, 3.0])
    sampler = "sample_" + pick(
        rng, ["dpmpp_2s_ancestral", "dpmpp_sde", "dpmpp_2m", "dpmpp_2m_sde", "dpmpp_3m_sde", "dpm_fast", "dpm_adaptive"]
    )
    kwargs = {}
    if sampler != "sample_dpmpp_2m":
        maybe(rng, kwargs, "eta", [0.0, 0.3, 0.7, 1.0])
        maybe(rng, kwargs, "s_noise", [0.9, 1.0, 1.1])
    if sampler == "sample_dpmpp_sde":
        maybe(rng, kwargs, "r", [0.3, 0.5, 1.0])
    if sampler == "sample_dpmpp_2m_sde":
        maybe(rng, kwargs, "solver_type", ["midpoint", "heun"])
    ends = pick(rng, [(0.01, 50.0), (0.002, 80.0), (0.1, 10.0)])
    if sampler == "sample_dpm_fast":
        return lambda: run_k(rng, sampler, (*ends, int(rng.integers(1, 40))), kwargs)
    if sampler == "sample_dpm_adaptive":
        maybe(rng, kwargs, "order", [2, 3])
        maybe(rng, kwargs, "rtol", [0.01, 0.1])
        maybe(rng, kwargs, "atol", [0.001, 0.02])
        maybe(rng, kwargs, "h_init", [0.02, 0.3])
        for name in ("pcoeff", "icoeff", "dcoeff"):
            maybe(rng, kwargs, name, [0.1, 0.8], 0.2)
        maybe(rng, kwargs, "accept_safety", [0.7, 0.9], 0.3)
        return lambda: run_k(rng, sampler, ends, kwargs)
    return lambda: run_k(rng, sampler, grid, kwargs)


def name_of(case):
    if case["kind"] == "diffusers-scheduler":
        config = case["scheduler_config"]
        return f"{config['_class_name']} n={case['num_inference_steps']} {brief(config)} | {brief(case['step_kwargs'])}"
    where = brief(case["sigma_grid"]) if "sigma_grid" in case else f"{case['sigma_range']} {case['args']}"
    return f"{case['sampler']} {where} {brief(case['kwargs'])}"


def random_cases(count, seed, families, verbose):
    rng = np.random.default_rng(seed)
    makers = {"diffusers": random_scheduler, "k": random_k}
    cases, refused = [], 0
    while len(cases) < count:
        make = makers[pick(rng, families)](rng)
        try:
            case = make()
        except Exception as error:  # what the peer cannot do ours must refuse, which is tried elsewhere
            refused += 1
            if verbose:
                print(f"{type(error).__name__}: {error}", file=sys.stderr)
            continue
        case["tolerance"] = 3e-5
        case["name"] = f"{len(cases)} {name_of(case)}"
        if finite(case["expect"]):
            cases.append(case)
        else:
            refused += 1
    print(f"{len(cases)} cases, {refused} left out", file=sys.stderr)
    return cases


def golden():
    """One or two cases for each class and function, with the options that change most."""
    table = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    clean = {"final_sigmas_type": "sigma_min"}
    schedulers = [
        ("Multistep", table | {"solver_order": 3, "use_lu_lambdas": True, "prediction_type": "v_prediction"}, 16),
        ("Multistep", clean | {"algorithm_type": "dpmsolver", "solver_order": 3, "timestep_spacing": "trailing",
         "prediction_type": "sample", "lower_order_final": False}, 6),
        ("Multistep", {"algorithm_type": "sde-dpmsolver++", "solver_order": 3, "rescale_betas_zero_snr": True,
         "lambda_min_clipped": -5.1, "prediction_type": "v_prediction"}, 16),
        ("Multistep", clean | {"algorithm_type": "sde-dpmsolver", "beta_schedule": "scaled_linear",
         "use_karras_sigmas": True, "lambda_min_clipped": -3.0}, 6),
        ("Multistep", {"use_flow_sigmas": True, "flow_shift": 3.0, "prediction_type": "flow_prediction",
         "solver_type": "heun", "thresholding": True, "sample_max_value": 2.0}, 7),
        ("MultistepInverse", table | {"timestep_spacing": "leading", "steps_offset": 1, "solver_order": 3}, 7),
        ("MultistepInverse", {"use_exponential_sigmas": True, "algorithm_type": "dpmsolver"}, 5),
        ("Singlestep", table | {"solver_order": 3, "solver_type": "heun", "use_beta_sigmas": True}, 9),
        ("Singlestep", clean | {"solver_order": 3, "algorithm_type": "sde-dpmsolver++", "solver_type": "heun",
         "prediction_type": "v_prediction"}, 9),
        ("SDE", table | {"use_karras_sigmas": True, "prediction_type": "v_prediction"}, 4),
    ]
    rng = np.random.default_rng(0)
    cases = [run_scheduler(rng, {"_class_name": f"DPMSolver{name}Scheduler"} | config, n,
             {"s_noise": 1.1} if name == "SDE" else {}) for name, config, n in schedulers]
    cases += [
        run_scheduler(rng, {"_class_name": "EDMDPMSolverMultistepScheduler", "solver_order": 3,
                      "sigma_schedule": "exponential", "final_sigmas_type": "sigma_min"}, 6, {}),
        run_scheduler(rng, {"_class_name": "CosineDPMSolverMultistepScheduler", "solver_type": "heun"}, 5, {}),
    ]
    grid = {"kind": "karras", "n": 5, "sigma_min": 0.01, "sigma_max": 50.0}
    some = {"eta": 0.7, "s_noise": 0.9}
    cases += [
        run_k(rng, "sample_dpmpp_2s_ancestral", grid, some),
        run_k(rng, "sample_dpmpp_sde", grid, some | {"r": 0.3}),
        run_k(rng, "sample_dpmpp_2m_sde", grid, some | {"solver_type": "heun"}),
        run_k(rng, "sample_dpmpp_3m_sde", grid, some),
        run_k(rng, "sample_dpm_fast", (0.01, 50.0, 8), some),
        run_k(rng, "sample_dpm_adaptive", (0.1, 10.0), {"order": 2, "pcoeff": 0.1}),
        run_k(rng, "sample_dpm_adaptive", (0.1, 10.0), {"rtol": 0.1}),
    ]
    for case in cases:
        case["tolerance"] = 3e-5
        case["name"] = name_of(case)
    return cases


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--random", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--families", nargs="+", default=["diffusers", "k"])
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "dpm_solver.json")
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    if arguments.random is None:
        cases = golden()
    else:
        cases = random_cases(arguments.random, arguments.seed, arguments.families, arguments.verbose)
    peer = {"name": "diffusers, k-diffusion", "version": "0.42.1, 0.1.1.post1"}
    arguments.out.write_text(json.dumps({"format": "conformance/1", "peer": peer, "cases": cases}, allow_nan=False))


if __name__ == "__main__":
    main()
