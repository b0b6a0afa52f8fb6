"""Writes architectures.txt: the tensors of published networks, in the order of their forward pass.

One line for each case: its name, the number of parameters, the operations of one image by torch's own
counter, and the shapes. Networks run on torch's meta device, so nothing is computed. Run with torch 2.11.0, diffusers 0.42.1 and checkouts of NVlabs/edm, NVlabs/edm2
and openai/guided-diffusion (their licences do not matter here: shapes are facts, and none of their code is kept):

    python crates/unet/tests/golden/architectures.py EDM EDM2 GUIDED_DIFFUSION
"""

import importlib.util
import pathlib
import sys
import types

import torch
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count
from diffusers import UNet2DModel


def module(name, path):
    """A module from a file, with stand-ins for what EDM's persistence needs."""
    shim = types.ModuleType("torch_utils")
    shim.persistence = types.SimpleNamespace(persistent_class=lambda cls: cls)
    shim.misc = types.SimpleNamespace(const_like=lambda x, f: torch.as_tensor(f, device=x.device))
    sys.modules["torch_utils"] = shim
    spec = importlib.util.spec_from_file_location(name, path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


EDM = module("edm", pathlib.Path(sys.argv[1]) / "training/networks.py")
EDM2 = module("edm2", pathlib.Path(sys.argv[2]) / "training/networks_edm2.py")
sys.path.insert(0, sys.argv[3])
from guided_diffusion.unet import UNetModel  # noqa: E402


def parts(name, tensor):
    """The tensors that ours has for this one: three for a fused q, k, v, matrices for 1x1 convolutions of
    attention, a table of rows for a matrix of columns."""
    shape = list(tensor.shape) or [1]
    leaf = name.split(".")[-2:]
    if leaf[0] in ("qkv", "attn_qkv"):
        shape[0] //= 3
    if leaf[0] in ("qkv", "proj", "proj_out"):
        shape = shape[:2]
    if leaf[0] == "map_label" and len(shape) == 2 and LABELS_AFTER:
        shape = shape[::-1]
    return [shape] * (3 if leaf[0] in ("qkv", "attn_qkv") else 1)


def shapes(network, *inputs):
    """Shapes in the order of use. A fused layer's weights and biases alternate, as those of three layers do."""
    names = {id(module): name for name, module in network.named_modules()}
    listed, seen = [], set()

    def own(module):
        tensors = list(module.named_parameters(recurse=False))
        tensors += [pair for pair in module.named_buffers(recurse=False) if pair[0] != "resample_filter"]
        return [(f"{names[id(module)]}.{name}", tensor) for name, tensor in tensors]

    def emit(tensors):
        fused = [parts(name, tensor) for name, tensor in tensors]
        listed.extend(shape for group in zip(*fused) for shape in group)

    def hook(module, _):
        if id(module) in seen or id(module) not in names:
            return
        seen.add(id(module))
        name = names[id(module)]
        if name.endswith("emb_linear"):  # EDM2 keeps its gain outside of the layer
            emit([("gain", network.get_parameter(name.replace("emb_linear", "emb_gain")))])
        emit([pair for pair in own(module) if not pair[0].endswith("_gain")])
        if name == "out_conv" and hasattr(network, "out_gain"):
            emit([("gain", network.out_gain)])

    handle = torch.nn.modules.module.register_module_forward_pre_hook(hook)
    counter = FlopCounterMode(display=False, custom_mapping={torch.ops.aten.convolution: convolution})
    with torch.no_grad(), counter:
        network(*inputs)
    handle.remove()
    return listed, counter.get_total_flops() // BATCH


def convolution(x, weight, bias, stride, padding, dilation, transposed, *rest, out_shape=None, **kwargs):
    """Operations, without those of resampling filters, which work on each channel by itself."""
    groups = rest[-1]
    return 0 if 1 < groups else conv_flop_count(x, weight, out_shape, transposed=transposed)


LABELS_AFTER = False
BATCH = 2


def write(file, name, network, image, classes=None, takes_rows=False, **kwargs):
    global LABELS_AFTER
    LABELS_AFTER = takes_rows
    with torch.device("meta"):
        network = network(**kwargs).eval()
        inputs = [torch.zeros(BATCH, *image), torch.zeros(BATCH)]
        inputs += [] if classes is None else [classes]
        found, flops = shapes(network, *inputs)
    numbers = sum(torch.Size(shape).numel() for shape in found)
    filters = [name for name, _ in network.named_buffers() if "resample_filter" in name]
    tensors = {name: tensor.numel() for name, tensor in network.state_dict().items() if name not in filters}
    assert sum(tensors.values()) == numbers, (name, sum(tensors.values()), numbers)
    if takes_rows and network.map_label is not None:  # a row of a table in ours
        flops -= 2 * network.map_label.weight.numel()
    text = " ".join("x".join(map(str, shape)) for shape in found)
    file.write(f"{name} {numbers} {flops} {text}\n")
    print(name, numbers, flops, len(found), "tensors;", len(tensors), "there")


def ddpm(file, name, image, width, multipliers):
    channels, side, _ = image
    attends = [side >> level == 16 for level in range(len(multipliers))]
    down = ["AttnDownBlock2D" if here else "DownBlock2D" for here in attends]
    up = ["AttnUpBlock2D" if here else "UpBlock2D" for here in reversed(attends)]
    write(
        file, name, UNet2DModel, image, in_channels=channels, out_channels=channels, attention_head_dim=None,
        block_out_channels=[width * m for m in multipliers], down_block_types=down, up_block_types=up,
        downsample_padding=0, flip_sin_to_cos=False, freq_shift=1, norm_eps=1e-6,
    )


def edm(file, name, network, image, classes=0, **kwargs):
    after = network is EDM.DhariwalUNet
    labels = torch.zeros(BATCH, classes, device="meta") if classes else torch.zeros(BATCH, 0, device="meta")
    channels, side, _ = image
    write(
        file, name, network, image, labels, takes_rows=after, img_resolution=side, in_channels=channels,
        out_channels=channels, label_dim=classes, **kwargs,
    )


def guided(file, name, image, width, multipliers, blocks, classes=None, **kwargs):
    channels, side, _ = image
    labels = torch.zeros(BATCH, dtype=torch.int64, device="meta") if classes else None
    write(
        file, name, UNetModel, image, labels, image_size=side, in_channels=channels, model_channels=width,
        out_channels=2 * channels, num_res_blocks=blocks, channel_mult=multipliers, num_classes=classes,
        attention_resolutions=[side // at for at in (32, 16, 8)], **kwargs,
    )


def edm2(file, name, image, width, classes=0):
    channels, side, _ = image
    labels = torch.zeros(BATCH, classes, device="meta") if classes else torch.zeros(BATCH, 0, device="meta")
    write(
        file, name, EDM2.UNet, image, labels, img_resolution=side, img_channels=channels, label_dim=classes,
        model_channels=width,
    )


RGB = lambda side: (3, side, side)  # noqa: E731
SONG, ADM = EDM.SongUNet, EDM.DhariwalUNet
FOURIER = {"embedding_type": "fourier", "channel_mult_noise": 2, "resample_filter": [1, 3, 3, 1]}
PUBLISHED = {"use_scale_shift_norm": True, "resblock_updown": True, "num_head_channels": 64}

with open(pathlib.Path(__file__).parent / "topology/architectures.txt", "w") as out:
    ddpm(out, "ddpm-cifar10", RGB(32), 128, [1, 2, 2, 2])
    ddpm(out, "ddpm-256", RGB(256), 128, [1, 1, 2, 2, 4, 4])
    ddpm(out, "ddpm-gray", (1, 28, 28), 32, [1, 2, 3])
    edm(out, "ddpmpp-cifar10", SONG, RGB(32), model_channels=128, channel_mult=[2, 2, 2])
    edm(out, "ddpmpp-ffhq", SONG, RGB(64), model_channels=128, channel_mult=[1, 2, 2, 2])
    edm(out, "ddpmpp-classes", SONG, (1, 32, 32), 10, model_channels=16, channel_mult=[1, 2])
    for name, image, multipliers in [("cifar10", RGB(32), [2, 2, 2]), ("ffhq", RGB(64), [1, 2, 2, 2])]:
        edm(out, f"ncsnpp-{name}", SONG, image, model_channels=128, channel_mult=multipliers,
            encoder_type="residual", **FOURIER)
    edm(out, "ncsnpp-skips", SONG, (2, 32, 32), model_channels=16, channel_mult=[1, 2, 1], num_blocks=2,
        encoder_type="skip", decoder_type="skip", **FOURIER)
    edm(out, "adm-imagenet64", ADM, RGB(64), 1000)
    edm(out, "adm-narrow", ADM, RGB(32), model_channels=64, channel_mult=[1, 1, 2], num_blocks=2)
    guided(out, "guided-imagenet64", RGB(64), 192, [1, 2, 3, 4], 3, 1000, **PUBLISHED)
    guided(out, "guided-imagenet256", RGB(256), 256, [1, 1, 2, 2, 4, 4], 2, 1000, **PUBLISHED)
    guided(out, "guided-lsun256", RGB(256), 256, [1, 1, 2, 2, 4, 4], 2, **PUBLISHED)
    guided(out, "guided-convolutions", (1, 64, 64), 32, [1, 2, 4], 1, num_heads=4)
    guided(out, "guided-plain", (1, 64, 64), 32, [1, 2, 4], 2, num_heads=2, conv_resample=False)
    for size, width in [("xs", 128), ("s", 192), ("m", 256), ("l", 320), ("xl", 384), ("xxl", 448)]:
        edm2(out, f"edm2-{size}", (4, 64, 64), width, 1000)
    edm2(out, "edm2-64", RGB(64), 192, 1000)
    edm2(out, "edm2-narrow", (1, 32, 32), 64)
