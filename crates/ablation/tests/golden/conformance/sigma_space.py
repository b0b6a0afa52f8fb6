"""Traces of the samplers in sigma-space and of EDM's two, in the format conformance/1.

    python sigma_space.py                       writes sigma_space.json beside this file
    python sigma_space.py --random 300 --seed 1 --out /tmp/cases.json

Needs torch 2.11.0, diffusers 0.42.1, k-diffusion 0.1.1.post1 and, in EDM_GENERATE, the path of EDM's generate.py.
"""

import argparse
import ast
import importlib
import importlib.util
import json
import math
import os
import pathlib
import sys
import types
import warnings

import numpy as np
import torch

warnings.filterwarnings("ignore")
torch.set_num_threads(1)
HERE = pathlib.Path(__file__).parent


def root(x):
    return torch.from_numpy(np.asarray(np.sqrt(x.numpy())))


# Single-precision roots depend on the processor: MKL's are off by one in the last place here and there.
# Those of every case are the nearest ones, as on processors where torch uses the instruction.
POWER = torch.Tensor.__pow__
torch.Tensor.sqrt = root
torch.Tensor.__pow__ = lambda x, y: root(x) if isinstance(y, float) and y == 0.5 else POWER(x, y)


class Mixture:
    def __init__(self, rng, dimension):
        count = int(rng.integers(1, 4))
        weights = rng.dirichlet(np.ones(count) * 2)
        self.weights = [float(w) for w in weights]
        self.means = [[float(v) for v in rng.normal(size=dimension)] for _ in range(count)]
        self.stds = [float(s) for s in rng.uniform(0.2, 0.7, size=count)]

    def json(self):
        return {"kind": "gaussian-mixture", "weights": self.weights, "means": self.means, "stds": self.stds}

    def denoise(self, x, alpha, sigma):
        """E[x0 | x], x of shape (n, d), in float64."""
        means = torch.tensor(self.means, dtype=torch.float64)
        stds = torch.tensor(self.stds, dtype=torch.float64)
        variance = (alpha * stds) ** 2 + sigma**2
        residual = x[:, None, :] - alpha * means[None]
        logits = torch.log(torch.tensor(self.weights, dtype=torch.float64)) - 0.5 * x.shape[1] * torch.log(variance)
        logits = logits - 0.5 * (residual**2).sum(-1) / variance
        share = torch.softmax(logits, dim=1)
        gain = (alpha * stds**2 / variance)[None, :, None]
        return (share[:, :, None] * (means[None] + gain * residual)).sum(1)


class Noise:
    """Draws that are recorded, with the number of calls of the model before each."""

    def __init__(self, rng):
        self.rng, self.calls, self.draws = rng, 0, []

    def like(self, shape, dtype=torch.float64):
        value = torch.from_numpy(self.rng.normal(size=tuple(shape))).to(dtype)
        self.draws.append({"after_evals": self.calls, "value": value.double().tolist()})
        return value


def answer(kind, denoised, x, alpha, sigma):
    if kind in ("sample", "original_sample"):
        return denoised
    # The mean of eps, which is 0 for clean data.
    noise = (x - alpha * denoised) / sigma if sigma else torch.zeros_like(x)
    if kind == "epsilon":
        return noise
    if kind == "v_prediction":
        return (alpha * noise - sigma * denoised) / math.hypot(alpha, sigma)
    if kind == "flow":
        return noise - denoised
    data, sign = kind
    skip = data**2 / (sigma**2 + data**2)
    return (denoised - skip * x) / (sign * sigma * data / math.hypot(sigma, data))


def level_of(scheduler, name):
    index, sigmas = scheduler.step_index, scheduler.sigmas
    if name.startswith("KDPM2") and not scheduler.state_in_first_order:
        inner = index - 1 if "Ancestral" in name else index
        return float(scheduler.sigmas_interpol[inner])
    return float(sigmas[index])


def run_scheduler(rng, config, steps, step_kwargs):
    import diffusers

    name = config["_class_name"]
    module = sys.modules[getattr(diffusers, name).__module__]
    scheduler = getattr(diffusers, name)(**{k: v for k, v in config.items() if not k.startswith("_")})
    scheduler.set_timesteps(steps)
    dimension = 3
    mixture, noise = Mixture(rng, dimension), Noise(rng)
    module.randn_tensor = lambda shape, dtype=None, **_: noise.like(shape, dtype)
    x = torch.from_numpy(rng.normal(size=(2, dimension))) * float(getattr(scheduler, "init_noise_sigma", 1.0))
    init = x.tolist()
    flow = name.startswith("FlowMatch")
    kind = "flow" if flow else config.get("prediction_type", "epsilon")
    if name == "EDMEulerScheduler":
        kind = (config.get("sigma_data", 0.5), -1.0 if kind == "v_prediction" else 1.0)
    levels, trace = [], []
    for timestep in scheduler.timesteps:
        if flow:
            if scheduler.step_index is None:
                scheduler._init_step_index(timestep)
        else:
            scheduler.scale_model_input(x, timestep)
        sigma = level_of(scheduler, name)
        alpha = 1.0 - sigma if flow else 1.0
        noise.calls += 1
        out = answer(kind, mixture.denoise(x, alpha, sigma), x, alpha, sigma)
        x = scheduler.step(out, timestep, x, **step_kwargs).prev_sample
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


def k_sampling():
    """The module alone: the package imports what is not needed."""
    if "k_diffusion.sampling" not in sys.modules:
        folder = pathlib.Path(importlib.util.find_spec("k_diffusion").origin).parent
        package = types.ModuleType("k_diffusion")
        package.__path__ = [str(folder)]
        sys.modules["k_diffusion"] = package
        package.utils = types.ModuleType("k_diffusion.utils")
        package.utils.append_dims = lambda x, n: x[(...,) + (None,) * (n - x.ndim)]
        sys.modules["k_diffusion.utils"] = package.utils
        # Only its likelihood and its Brownian tree use these.
        for name in ("torchdiffeq", "torchsde"):
            sys.modules.setdefault(name, types.ModuleType(name)).odeint = None
    return importlib.import_module("k_diffusion.sampling")


def run_k(rng, sampler, grid, kwargs):
    sampling = k_sampling()
    arguments = {k: v for k, v in grid.items() if k != "kind"}
    sigmas = getattr(sampling, "get_sigmas_" + grid["kind"])(**arguments)
    mixture, noise = Mixture(rng, 3), Noise(rng)
    asked, trace = [], []

    def model(x, sigma):
        noise.calls += 1
        asked.append(float(sigma[0]))
        return mixture.denoise(x, 1.0, float(sigma[0]))

    x = torch.from_numpy(rng.normal(size=(2, 3))) * float(sigmas[0])
    init = x.tolist()
    like = torch.randn_like
    torch.randn_like = lambda x: noise.like(x.shape)
    try:
        callback = lambda info: trace.append(info["x"].double().tolist())
        result = getattr(sampling, sampler)(model, x, sigmas, callback=callback, disable=True, **kwargs)
    finally:
        torch.randn_like = like
    return {
        "kind": "k-diffusion-sampler",
        "sampler": sampler,
        "sigma_grid": grid,
        "kwargs": kwargs,
        "model": mixture.json(),
        "init": init,
        "noise": noise.draws,
        "expect": {
            "sigmas": sigmas.double().tolist(),
            "denoiser_sigmas": asked,
            "trace": trace + [result.double().tolist()],
        },
    }


def edm_functions():
    """The two samplers alone: the rest of the file imports what is not needed."""
    source = pathlib.Path(os.environ["EDM_GENERATE"]).read_text()
    wanted = ("edm_sampler", "ablation_sampler")
    tree = ast.parse(source)
    tree.body = [node for node in tree.body if getattr(node, "name", "") in wanted]
    scope = {"torch": torch, "np": np}
    exec(compile(tree, "generate.py", "exec"), scope)
    return scope


def run_edm(rng, sampler, kwargs, net_range):
    mixture, noise = Mixture(rng, 3), Noise(rng)
    asked = []

    def call(x, sigma, labels=None):
        noise.calls += 1
        asked.append(float(sigma))
        return mixture.denoise(x, 1.0, float(sigma))

    class Net:
        sigma_min = net_range[0] if net_range[0] is not None else 0.0
        sigma_max = net_range[1] if net_range[1] is not None else math.inf
        round_sigma = staticmethod(lambda sigma: torch.as_tensor(sigma))
        __call__ = staticmethod(call)

    latents = torch.from_numpy(rng.normal(size=(2, 3)))
    given = {k: v for k, v in kwargs.items() if v is not None}
    result = edm_functions()[sampler](Net(), latents, randn_like=lambda x: noise.like(x.shape), **given)
    return {
        "kind": "edm-sampler",
        "sampler": sampler,
        "net_sigma_range": list(net_range),
        "kwargs": kwargs,
        "model": mixture.json(),
        "latents": latents.tolist(),
        "noise": noise.draws,
        "expect": {"denoiser_sigmas": asked, "output": result.tolist()},
    }


def churn(rng, scale=1.0, names=("s_churn", "s_tmin", "s_tmax", "s_noise")):
    kwargs = {}
    if rng.random() < 0.6:
        kwargs[names[0]] = float(rng.choice([0.0, 1.0, 5.0, 40.0]))
        if rng.random() < 0.5:
            kwargs[names[1]] = float(rng.uniform(0, 1.0) * scale)
        if rng.random() < 0.5:
            kwargs[names[2]] = float(rng.uniform(1.0, 60.0) * scale)
        if rng.random() < 0.5:
            kwargs[names[3]] = float(rng.uniform(0.9, 1.1))
    return kwargs


def pick(rng, options):
    return options[int(rng.integers(len(options)))]


def maybe(rng, config, name, options, share=0.5):
    if rng.random() < share:
        config[name] = pick(rng, options)


def one_shape(rng, config):
    if rng.random() < 0.6:
        config[pick(rng, ["use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"])] = True


def training(rng, config, extra=()):
    maybe(rng, config, "num_train_timesteps", [1000, 1000, 500, 1100, 100, 40], 0.4)
    schedule = pick(rng, ["linear", "scaled_linear", "squaredcos_cap_v2", *extra])
    if rng.random() < 0.1:
        count = config["num_train_timesteps"] = 20
        config["trained_betas"] = [float(b) for b in np.linspace(0.01, 0.4, count)]
    else:
        config["beta_schedule"] = schedule
        if rng.random() < 0.5:
            config["beta_start"], config["beta_end"] = pick(rng, [(0.00085, 0.012), (1e-4, 0.02), (0.001, 0.03)])
    maybe(rng, config, "timestep_spacing", ["linspace", "leading", "trailing"], 0.7)
    maybe(rng, config, "steps_offset", [0, 1, 2], 0.4)


def random_scheduler(rng):
    name = pick(
        rng,
        [
            "EulerDiscreteScheduler",
            "EulerDiscreteScheduler",
            "EulerAncestralDiscreteScheduler",
            "HeunDiscreteScheduler",
            "LMSDiscreteScheduler",
            "KDPM2DiscreteScheduler",
            "KDPM2AncestralDiscreteScheduler",
            "EDMEulerScheduler",
            "FlowMatchEulerDiscreteScheduler",
            "FlowMatchEulerDiscreteScheduler",
            "FlowMatchHeunDiscreteScheduler",
            "FlowMatchLCMScheduler",
        ],
    )
    config, step = {"_class_name": name}, {}
    steps = pick(rng, [1, 2, 3, 4, 5, 7, 10, 11, 15, 20, 25, 30, 50, 61])
    if name.startswith("FlowMatch"):
        maybe(rng, config, "num_train_timesteps", [1000, 500, 100])
        maybe(rng, config, "shift", [1.0, 3.0, 0.5, 1.15, 7.0], 0.7)
        if "Heun" in name:
            step = churn(rng, 0.5)
        else:
            one_shape(rng, config)
            maybe(rng, config, "shift_terminal", [0.1, 0.02], 0.3)
            maybe(rng, config, "time_shift_type", ["exponential", "linear"], 0.2)
            maybe(rng, config, "invert_sigmas", [True], 0.2)
            if "Euler" in name:
                maybe(rng, config, "stochastic_sampling", [True, False])
                step = churn(rng)
    elif name == "EDMEulerScheduler":
        maybe(rng, config, "sigma_min", [0.002, 0.01, 0.3])
        maybe(rng, config, "sigma_max", [80.0, 20.0, 500.0])
        maybe(rng, config, "sigma_data", [0.5, 1.0])
        maybe(rng, config, "rho", [7.0, 3.0, 1.0])
        maybe(rng, config, "sigma_schedule", ["karras", "exponential"])
        maybe(rng, config, "prediction_type", ["epsilon", "v_prediction"])
        maybe(rng, config, "final_sigmas_type", ["zero", "sigma_min"])
        step = churn(rng)
    else:
        training(rng, config, ["exp"] if name.startswith("Heun") else [])
        if "EulerAncestral" not in name:
            one_shape(rng, config)
        kinds = ["epsilon", "v_prediction"]
        if name[:4] in ("Eule", "Heun", "LMSD") and "Ancestral" not in name:
            kinds.append("sample")
        maybe(rng, config, "prediction_type", kinds, 0.7)
        if name.startswith("Euler"):
            maybe(rng, config, "rescale_betas_zero_snr", [True, False], 0.4)
        if name == "EulerDiscreteScheduler":
            maybe(rng, config, "interpolation_type", ["linear", "log_linear"], 0.3)
            maybe(rng, config, "sigma_min", [0.01, 0.1, None], 0.3)
            maybe(rng, config, "sigma_max", [10.0, 90.0, None], 0.3)
            maybe(rng, config, "timestep_type", ["discrete", "continuous"], 0.3)
            maybe(rng, config, "final_sigmas_type", ["zero", "sigma_min"], 0.4)
            step = churn(rng)
        if name.startswith("Heun") and rng.random() < 0.4:
            config["clip_sample"] = True
            maybe(rng, config, "clip_sample_range", [0.5, 1.5])
        if name.startswith("LMS"):
            maybe(rng, step, "order", [1, 2, 3, 4, 5])
    return lambda: run_scheduler(rng, config, steps, step)


def random_k(rng):
    kind = pick(rng, ["karras", "exponential", "polyexponential", "vp"])
    grid = {"kind": kind, "n": int(pick(rng, [1, 2, 3, 5, 8, 12, 20, 33]))}
    if kind == "vp":
        maybe(rng, grid, "beta_d", [19.9, 10.0])
        maybe(rng, grid, "beta_min", [0.1, 0.3])
        maybe(rng, grid, "eps_s", [1e-3, 1e-2])
    else:
        grid["sigma_min"], grid["sigma_max"] = pick(rng, [(0.01, 50.0), (0.002, 80.0), (0.1, 10.0)])
        if kind != "exponential":
            maybe(rng, grid, "rho", [7.0, 1.0, 3.0])
    samplers = ["euler", "heun", "dpm_2", "euler_ancestral", "dpm_2_ancestral", "lms"]
    sampler = "sample_" + pick(rng, samplers)
    kwargs = {}
    if "ancestral" in sampler:
        maybe(rng, kwargs, "eta", [0.0, 0.3, 1.0, 1.3])
        maybe(rng, kwargs, "s_noise", [0.9, 1.0, 1.1])
    elif sampler == "sample_lms":
        maybe(rng, kwargs, "order", [1, 2, 3, 4, 6])
    else:
        kwargs = churn(rng)
    return lambda: run_k(rng, sampler, grid, kwargs)


def random_edm(rng):
    kwargs = {"num_steps": int(pick(rng, [2, 3, 5, 9, 18, 32]))}
    sampler = pick(rng, ["edm_sampler", "ablation_sampler", "ablation_sampler", "ablation_sampler"])
    maybe(rng, kwargs, "sigma_min", [0.01, 0.05], 0.3)
    maybe(rng, kwargs, "sigma_max", [20.0, 50.0], 0.3)
    maybe(rng, kwargs, "rho", [7, 5, 3.0], 0.3)
    kwargs |= churn(rng, names=("S_churn", "S_min", "S_max", "S_noise"))
    if sampler == "ablation_sampler":
        maybe(rng, kwargs, "sigma_min", [None], 0.1)
        maybe(rng, kwargs, "solver", ["euler", "heun"])
        maybe(rng, kwargs, "discretization", ["vp", "ve", "iddpm", "edm"], 0.8)
        maybe(rng, kwargs, "schedule", ["vp", "ve", "linear"], 0.8)
        maybe(rng, kwargs, "scaling", ["vp", "none"], 0.7)
        maybe(rng, kwargs, "epsilon_s", [1e-3, 1e-2], 0.3)
        maybe(rng, kwargs, "alpha", [1, 0.5, 0.75], 0.4)
        maybe(rng, kwargs, "C_1", [0.001, 0.01], 0.2)
        maybe(rng, kwargs, "C_2", [0.008, 0.02], 0.2)
        maybe(rng, kwargs, "M", [1000, 200], 0.2)
    net = pick(rng, [(0.0, None), (0.02, 60.0), (None, None)])
    return lambda: run_edm(rng, sampler, kwargs, net)


def finite(value):
    if isinstance(value, dict):
        return all(finite(v) for v in value.values())
    if isinstance(value, list):
        return all(finite(v) for v in value)
    return not isinstance(value, float) or math.isfinite(value)


def brief(parts):
    return " ".join(f"{k}={v}" for k, v in parts.items() if not k.startswith("_") and not isinstance(v, list))


def name_of(case):
    if case["kind"] == "diffusers-scheduler":
        config = case["scheduler_config"]
        return f"{config['_class_name']} n={case['num_inference_steps']} {brief(config)} | {brief(case['step_kwargs'])}"
    grid = brief(case.get("sigma_grid", {}))
    return f"{case['sampler']} {grid} {brief(case['kwargs'])}"


def random_cases(count, seed, families, verbose):
    rng = np.random.default_rng(seed)
    makers = {"diffusers": random_scheduler, "k": random_k, "edm": random_edm}
    cases, refused = [], []
    while len(cases) < count:
        make = makers[pick(rng, families)](rng)
        try:
            case = make()
        except Exception as error:  # the peer cannot: ours must refuse, which is tried by hand
            refused.append(f"{type(error).__name__}: {error}")
            if verbose:
                print(refused[-1], file=sys.stderr)
            continue
        case["tolerance"] = 3e-5
        case["name"] = f"{len(cases)} {name_of(case)}"
        (cases if finite(case["expect"]) else refused).append(case)
    print(f"{len(cases)} cases, {len(refused)} left out", file=sys.stderr)
    return cases


def golden():
    """One or two cases for each class and function, with the options that change most."""
    table = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    churned = {"s_churn": 20.0, "s_tmin": 0.05, "s_tmax": 50.0, "s_noise": 1.003}
    schedulers = [
        ("EulerDiscreteScheduler", table | {"prediction_type": "v_prediction", "timestep_spacing": "trailing",
         "rescale_betas_zero_snr": True, "timestep_type": "continuous"}, 7, churned),
        ("EulerDiscreteScheduler", table | {"interpolation_type": "log_linear", "final_sigmas_type": "sigma_min"}, 6, {}),
        ("EulerAncestralDiscreteScheduler", {"prediction_type": "v_prediction", "timestep_spacing": "leading"}, 6, {}),
        ("HeunDiscreteScheduler", {"beta_schedule": "exp", "use_beta_sigmas": True, "clip_sample": True}, 5, {}),
        ("LMSDiscreteScheduler", table | {"use_exponential_sigmas": True}, 7, {"order": 3}),
        ("KDPM2DiscreteScheduler", table | {"use_karras_sigmas": True, "num_train_timesteps": 40}, 12, {}),
        ("KDPM2AncestralDiscreteScheduler", table | {"timestep_spacing": "trailing"}, 5, {}),
        ("EDMEulerScheduler", {"sigma_schedule": "exponential", "prediction_type": "v_prediction",
         "final_sigmas_type": "sigma_min"}, 6, churned),
        ("FlowMatchEulerDiscreteScheduler", {"shift": 3.0, "shift_terminal": 0.1, "use_karras_sigmas": True}, 6, {}),
        ("FlowMatchEulerDiscreteScheduler", {"shift": 3.0, "stochastic_sampling": True}, 4, {}),
        ("FlowMatchHeunDiscreteScheduler", {"shift": 3.0}, 5, {"s_churn": 3.0}),
        ("FlowMatchLCMScheduler", {"shift": 3.0}, 4, {}),
        ("FlowMatchEulerDiscreteScheduler", {"invert_sigmas": True, "use_beta_sigmas": True}, 4, {}),
    ]
    karras = {"kind": "karras", "n": 6, "sigma_min": 0.01, "sigma_max": 50.0}
    rng = np.random.default_rng(0)
    cases = [run_scheduler(rng, {"_class_name": name} | config, n, step) for name, config, n, step in schedulers]
    cases += [
        run_k(rng, "sample_heun", {"kind": "vp", "n": 5}, churned),
        run_k(rng, "sample_dpm_2", karras, churned),
        run_k(rng, "sample_dpm_2_ancestral", karras, {"eta": 1.3, "s_noise": 0.9}),
        run_k(rng, "sample_euler_ancestral", {"kind": "polyexponential", "n": 5, "sigma_min": 0.1, "sigma_max": 10.0,
              "rho": 2.0}, {"eta": 0.3}),
        run_edm(rng, "ablation_sampler", {"num_steps": 6, "discretization": "ve", "schedule": "ve", "scaling": "vp",
                "alpha": 0.5, "S_churn": 5, "S_max": 40.0, "sigma_min": None}, (0.0, None)),
        run_edm(rng, "ablation_sampler", {"num_steps": 5, "discretization": "iddpm", "schedule": "vp",
                "solver": "euler"}, (0.02, 60.0)),
    ]
    for case in cases:
        case["tolerance"] = 3e-5
        case["name"] = name_of(case)
    return cases


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--random", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--families", nargs="+", default=["diffusers", "k", "edm"])
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "sigma_space.json")
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    if arguments.random is None:
        cases = golden()
    else:
        cases = random_cases(arguments.random, arguments.seed, arguments.families, arguments.verbose)
    peer = {"name": "diffusers, k-diffusion, edm", "version": "0.42.1, 0.1.1.post1, 008a4e5"}
    arguments.out.write_text(json.dumps({"format": "conformance/1", "peer": peer, "cases": cases}, allow_nan=False))


if __name__ == "__main__":
    main()
