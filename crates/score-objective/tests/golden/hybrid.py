"""Prints the numbers of `guided_diffusion_has_the_same_hybrid` in tests/torch/variational.rs.

Needs torch and openai/guided-diffusion (commit 22e0df8) on PYTHONPATH: python tests/golden/hybrid.py
"""

import torch
from guided_diffusion import gaussian_diffusion as gd

diffusion = gd.GaussianDiffusion(
    betas=gd.get_named_beta_schedule("linear", 100),
    model_mean_type=gd.ModelMeanType.EPSILON,
    model_var_type=gd.ModelVarType.LEARNED_RANGE,
    loss_type=gd.LossType.RESCALED_MSE,
)
bins = torch.tensor([[0.0, 63.75], [100, 255], [51, 200]], dtype=torch.float64)
x0 = (bins / 127.5 - 1).view(3, 1, 1, 2)
noise = torch.tensor([[0.3, -1.2], [0.7, 0.1], [-0.4, 2.0]], dtype=torch.float64).view(3, 1, 1, 2)
terms = diffusion.training_losses(
    lambda x, t: torch.cat([torch.tanh(1.3 * x), torch.sin(x)], 1),
    x0,
    torch.tensor([0, 40, 99]),
    noise=noise,
)
for name, values in terms.items():
    print(name, values.tolist())
print("alpha_bar", [diffusion.alphas_cumprod[t] for t in (0, 39, 40, 98, 99)])
print("least variance", diffusion.posterior_variance[1])
