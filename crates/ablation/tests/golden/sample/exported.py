"""Writes exported/config.json: what diffusers writes for the network that `tests/sample` exports from a study.

    python exported.py

Written with diffusers 0.42.1.
"""

import tempfile
from pathlib import Path

from diffusers import UNet2DModel

HERE = Path(__file__).parent

unet = UNet2DModel(
    sample_size=8,
    in_channels=1,
    out_channels=1,
    block_out_channels=(32, 32),
    down_block_types=("DownBlock2D", "DownBlock2D"),
    up_block_types=("UpBlock2D", "UpBlock2D"),
    layers_per_block=1,
    attention_head_dim=None,
    norm_num_groups=32,
    norm_eps=1e-6,
    downsample_padding=0,
    flip_sin_to_cos=False,
    freq_shift=1,
)
with tempfile.TemporaryDirectory() as folder:
    unet.save_pretrained(folder)
    (HERE / "exported" / "config.json").write_text((Path(folder) / "config.json").read_text())
