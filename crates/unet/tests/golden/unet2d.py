"""Writes diffusers/<name>/{config.json, io.safetensors}: what diffusers' UNet2DModel answers.

Weights are not stored: both sides compute them from the tensor's name. Run with torch 2.11.0,
diffusers 0.42.1, numpy:

    python crates/unet/tests/golden/unet2d.py
"""

import json
import pathlib

import torch
from diffusers import UNet2DModel
from safetensors.torch import save_file

from weights import noise, weight

FOLDER = pathlib.Path(__file__).parent / "diffusers"

PAIR = {"block_out_channels": [8, 16], "norm_num_groups": 4, "layers_per_block": 1}
PLAIN = {"down_block_types": ["DownBlock2D"] * 2, "up_block_types": ["UpBlock2D"] * 2}
ATTENTION = {
    "down_block_types": ["AttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "AttnUpBlock2D"],
}
WIDE = {"block_out_channels": [32, 64], "norm_num_groups": None, "layers_per_block": 1}

# Every kind of level, embedding, injection, activation and resampling, and null against absent.
CASES = {
    "attention-conv": {**PAIR, **ATTENTION, "attention_head_dim": 4, "downsample_padding": 0},
    "attention-resnet": {
        **PAIR,
        "down_block_types": ["AttnDownBlock2D", "AttnDownBlock2D"],
        "up_block_types": ["AttnUpBlock2D", "AttnUpBlock2D"],
        "attention_head_dim": None,
        "downsample_type": "resnet",
        "upsample_type": "resnet",
        "mid_block_scale_factor": 1.4142135623730951,
        "norm_eps": 1e-2,
    },
    # One head of 5 of the 8 channels, and three of 5 of the 16.
    "heads-that-do-not-divide": {**PAIR, **ATTENTION, "attention_head_dim": 5, "act_fn": "mish"},
    "resnet": {
        **PAIR,
        "down_block_types": ["ResnetDownsampleBlock2D"] * 2,
        "up_block_types": ["ResnetUpsampleBlock2D"] * 2,
        "resnet_time_scale_shift": "scale_shift",
        "center_input_sample": True,
        "act_fn": "gelu",
        "time_embedding_dim": 20,
    },
    "scale-shift-with-attention-norm": {
        **PAIR,
        **PLAIN,
        "resnet_time_scale_shift": "scale_shift",
        "attn_norm_num_groups": 2,
        "layers_per_block": 2,
        "dropout": 0.5,
    },
    "ncsnpp": {
        **WIDE,
        "block_out_channels": [32, 64, 32],
        "down_block_types": ["SkipDownBlock2D", "AttnSkipDownBlock2D", "SkipDownBlock2D"],
        "up_block_types": ["SkipUpBlock2D", "AttnSkipUpBlock2D", "SkipUpBlock2D"],
        "time_embedding_type": "fourier",
        "mid_block_scale_factor": 1.4142135623730951,
        "attention_head_dim": None,
        "norm_eps": 1e-6,
    },
    "k-diffusion": {
        **WIDE,
        "down_block_types": ["KDownBlock2D"] * 2,
        "up_block_types": ["KUpBlock2D"] * 2,
        "layers_per_block": 2,
        "act_fn": "relu",
    },
    "labels": {**PAIR, **PLAIN, "num_class_embeds": 5, "flip_sin_to_cos": False, "freq_shift": 1},
    "label-as-timestep": {**PAIR, **PLAIN, "class_embed_type": "timestep", "in_channels": 1},
    "label-as-vector": {
        **PAIR,
        **PLAIN,
        "class_embed_type": "identity",
        "mid_block_type": None,
        "out_channels": 6,
    },
    "learned": {**PAIR, **PLAIN, "time_embedding_type": "learned", "num_train_timesteps": 50},
    # Of an odd width, the last feature of the timestep is 0.
    "odd-width": {
        **PAIR,
        "block_out_channels": [9, 6],
        "norm_num_groups": 3,
        **PLAIN,
        "add_attention": False,
    },
}


def write(name, config):
    model = UNet2DModel(**config).eval()
    model.load_state_dict({key: weight(key, tuple(old.shape)).float() for key, old in model.state_dict().items()})
    levels, batch = len(config["block_out_channels"]), 2
    sides = (2 ** (levels + 1), 2**levels)
    io = {"sample": noise("sample", (batch, model.config.in_channels, *sides)).float()}
    if config.get("time_embedding_type") == "fourier":
        io["timestep"] = torch.tensor([0.02, 30.0])
    elif config.get("time_embedding_type") == "learned":
        io["timestep"] = torch.tensor([0, 49])
    else:
        io["timestep"] = torch.tensor([999.0, 12.5])
    if config.get("num_class_embeds"):
        io["class_labels"] = torch.tensor([4, 0])
    if config.get("class_embed_type") == "timestep":
        io["class_labels"] = torch.tensor([3.5, 700.0])
    if config.get("class_embed_type") == "identity":
        io["class_labels"] = noise("class_labels", (batch, 4 * config["block_out_channels"][0])).float()
    with torch.no_grad():
        io["output"] = model(io["sample"], io["timestep"], io.get("class_labels")).sample.contiguous()
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    save_file(io, folder / "io.safetensors")
    (folder / "config.json").write_text(json.dumps({"_class_name": "UNet2DModel", **config}, indent=2) + "\n")
    print(f"{name}: output of size {io['output'].abs().mean():.3}, {sum(p.numel() for p in model.parameters())} weights")


for case, options in CASES.items():
    write(case, options)
