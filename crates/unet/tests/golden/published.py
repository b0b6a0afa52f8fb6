"""Writes published/<case>.safetensors: what the published networks' own code answers, in float64.

Each has `x`, `label`, `class` (if any) and `output`; `laws`, one row (centre, half-width of a uniform law, deviation
of a normal law) of initial values for each tensor, sorted by our name; and of a step of training `output2` and `stored`,
one product with known numbers for each tensor.
Weights are not stored: both sides compute them from our name of the tensor. Run with torch 2.11.0, diffusers 0.42.1,
numpy and checkouts of NVlabs/edm, NVlabs/edm2, openai/guided-diffusion and sail-sg/ScaleLong (none of their code is
kept):

    python crates/unet/tests/golden/published.py EDM EDM2 GUIDED_DIFFUSION SCALELONG
"""

import importlib
import importlib.util
import itertools
import math
import pathlib
import sys
import types

import torch
import diffusers.utils.torch_utils as freeu
from safetensors.torch import save_file

from weights import noise, uniform, weight

FOLDER = pathlib.Path(__file__).parent / "published"
BATCH = 2
torch.set_default_dtype(torch.float64)


class Torch(types.ModuleType):
    """torch as the originals see it: without float32; with draws that show their law; and with other joins."""

    float32 = torch.float64
    half_width, deviation, join = 0.0, 0.0, None

    def __getattr__(self, name):
        return getattr(torch, name)

    def rand(self, *shape):
        return torch.full(shape, 0.5 + self.half_width / 2)

    def randn(self, *shape):
        return torch.full(shape, self.deviation)

    def cat(self, tensors, dim):
        if self.join is not None and tensors[0].dim() == 4:
            tensors = self.join(*tensors)
        return torch.cat(tensors, dim=dim)


torch.Tensor.float = torch.Tensor.double
torch.Tensor.uniform_ = lambda self, low, high, generator=None: self.fill_(
    (low + high) / 2 + Torch.half_width * (high - low) / 2
)
torch.Tensor.normal_ = lambda self, mean, std, generator=None: self.fill_(mean + Torch.deviation * std)


def module(name, path):
    """A module from a file."""
    spec = importlib.util.spec_from_file_location(name, path)
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


shim = types.ModuleType("torch_utils")  # what EDM's persistence needs
shim.persistence = types.SimpleNamespace(persistent_class=lambda cls: cls)
shim.misc = types.SimpleNamespace(const_like=lambda x, f: torch.as_tensor(f, dtype=x.dtype))
sys.modules["torch_utils"] = shim
EDM = module("edm", pathlib.Path(sys.argv[1]) / "training/networks.py")
EDM2 = module("edm2", pathlib.Path(sys.argv[2]) / "training/networks_edm2.py")
sys.path.insert(0, sys.argv[3])
GUIDED = importlib.import_module("guided_diffusion.unet")
GUIDED_PARTS = importlib.import_module("guided_diffusion.nn")
sys.path.insert(0, sys.argv[4])
sys.modules["einops"] = types.ModuleType("einops")  # which the part that is used does not need
SCALELONG = importlib.import_module("libs.uvit")
EDM.torch, EDM2.torch, freeu.torch = Torch("edm"), Torch("edm2"), Torch("freeu")
GUIDED.th = GUIDED_PARTS.th = Torch("guided")


# Our names. Each place of theirs is a list of (our name, our shape, the view of theirs that has these numbers).


def one(name, tensor, shape=None):
    return [(name, tuple(tensor.shape if shape is None else shape), tensor)]


def matrix(tensor):
    """A kernel of one pixel as a matrix; a bias as it is."""
    return tensor.view(tensor.shape[:2]) if 1 < tensor.dim() else tensor


def fused(place, leaf, tensor, order):
    """Query, key and value from one tensor, in whose rows `order` = (a, 3, b) puts them."""
    rows = tensor.shape[0] // 3
    shape = (rows, *tensor.shape[1:])
    views = tensor.view(*order, *tensor.shape[1:]).unbind(1)
    return [(f"{place}.{part}.{leaf}", shape, view) for part, view in zip(["query", "key", "value"], views)]


BLOCK = {"norm0": "norm1", "conv0": "conv1", "norm1": "norm2", "conv1": "conv2", "skip": "projection"}
MAGNITUDE = {"conv_res0": "conv1", "emb_linear": "embedding", "conv_res1": "conv2", "conv_skip": "projection"}
GUIDED_BLOCK = {"in_layers.0": "norm1", "in_layers.2": "conv1", "out_layers.0": "norm2", "out_layers.3": "conv2",
                "skip_connection": "projection"}


def place(half, key, resolution):
    """Our names of EDM's part such as `8x8_block1` of an encoder or decoder, and of the attention in it."""
    side, part = key.split("_", 1)
    level, number = int(math.log2(resolution // int(side.split("x")[0]))), part[-1]
    stage = {"enc": "encoder", "dec": "decoder"}[half] + str(level)
    if part.startswith("in"):
        stage = "middle"
    blocks = {
        "conv": "read_in",
        "down": f"down{level - 1}.block",
        "up": f"up{level}.block",
        "aux_skip": f"input{level - 1}",
        "aux_residual": f"input{level - 1}",
        "aux_norm": "read_out.norm" if level == 0 else f"output{level}.norm",
        "aux_conv": "read_out.conv" if level == 0 else f"output{level}.conv",
    }
    return blocks.get(part, f"{stage}.block{number}"), f"{stage}.attention{number}"


def edm(network, name, tensor):
    key, leaf = name.rsplit(".", 1)
    rows = isinstance(network, EDM.DhariwalUNet)
    if key == "map_label" and rows:
        return one(f"embedding.class.{leaf}", tensor.T)
    single = {"map_noise": "embedding.features", "map_label": "embedding.class", "map_layer0": "embedding.linear1",
              "map_layer1": "embedding.linear2", "out_norm": "read_out.norm", "out_conv": "read_out.conv"}
    if key in single:
        return one(f"{single[key]}.weight" if leaf == "freqs" else f"{single[key]}.{leaf}", tensor)
    half, key, *layer = key.split(".")
    block, attention = place(half, key, network.resolution)
    layer = "".join(layer)
    if layer == "":
        return one(f"{block}.{leaf}", tensor)
    if layer == "affine":
        return one(f"{block}.{'scale_shift' if rows else 'shift'}.{leaf}", tensor)
    if layer == "norm2":
        return one(f"{attention}.norm.{leaf}", tensor)
    if layer == "qkv":
        return fused(attention, leaf, matrix(tensor), (tensor.shape[0] // 3, 3))
    if layer == "proj":
        return one(f"{attention}.out.{leaf}", matrix(tensor))
    return one(f"{block}.{BLOCK[layer]}.{leaf}", tensor)


def edm2(network, name, tensor):
    if name.startswith("emb_fourier"):  # ours counts turns
        part = {"freqs": "features", "phases": "phases"}[name.split(".")[1]]
        return one(f"embedding.{part}.weight", tensor)
    if name == "out_gain":
        return one("read_out.gain.weight", tensor, (1,))
    key, leaf = name.rsplit(".", 1)
    single = {"emb_noise": "embedding.linear1", "emb_label": "embedding.class", "out_conv": "read_out"}
    if key in single:
        return one(f"{single[key]}.{leaf}", tensor)
    half, key, *layer = key.split(".")
    block, _ = place(half, key, network.resolution)
    if leaf == "emb_gain":
        return one(f"{block}.gain.weight", tensor, (1,))
    layer = "".join(layer)
    if layer == "":
        return one(f"{block}.{leaf}", tensor)
    if layer == "attn_qkv":
        return fused(block, leaf, tensor, (tensor.shape[0] // 3, 3))
    if layer == "attn_proj":
        return one(f"{block}.out.{leaf}", tensor)
    return one(f"{block}.{MAGNITUDE[layer]}.{leaf}", tensor)


def guided_places(network):
    """Our names of guided diffusion's numbered parts."""
    places, level, number = {"input_blocks.0.0": "read_in"}, 0, 0
    for at, parts in enumerate(network.input_blocks[1:], 1):
        first = parts[0]
        if isinstance(first, GUIDED.Downsample) or getattr(first, "updown", False):
            kind = ".block" if isinstance(first, GUIDED.ResBlock) else ""
            places[f"input_blocks.{at}.0"] = f"down{level}{kind}"
            level, number = level + 1, 0
            continue
        places[f"input_blocks.{at}.0"] = f"encoder{level}.block{number}"
        places[f"input_blocks.{at}.1"] = f"encoder{level}.attention{number}"
        number += 1
    middle = ["middle.block0", "middle.attention0", "middle.block1"]
    places |= {f"middle_block.{at}": name for at, name in enumerate(middle)}
    number = 0
    for at, parts in enumerate(network.output_blocks):
        for index, part in enumerate(parts):
            key = f"output_blocks.{at}.{index}"
            if isinstance(part, GUIDED.AttentionBlock):
                places[key] = f"decoder{level}.attention{number}"
            elif isinstance(part, GUIDED.Upsample):
                places[key] = f"up{level - 1}"
            elif part.updown:
                places[key] = f"up{level - 1}.block"
            else:
                places[key] = f"decoder{level}.block{number}"
        last = parts[-1]
        if isinstance(last, GUIDED.Upsample) or getattr(last, "updown", False):
            level, number = level - 1, 0
        else:
            number += 1
    return places


def guided(network, name, tensor):
    key, leaf = name.rsplit(".", 1)
    single = {"time_embed.0": "embedding.linear1", "time_embed.2": "embedding.linear2", "label_emb": "embedding.class",
              "out.0": "read_out.norm", "out.2": "read_out.conv"}
    if key in single:
        return one(f"{single[key]}.{leaf}", tensor)
    places = guided_places(network)
    part = max((part for part in places if f"{key}.".startswith(f"{part}.")), key=len)
    ours, layer = places[part], key[len(part) + 1 :]
    if layer == "" or layer == "op":
        return one(f"{ours}.{leaf}", tensor)
    if layer == "conv":
        return one(f"{ours}.conv.{leaf}", tensor)
    if layer == "emb_layers.1":
        injection = "scale_shift" if network.scale_shift else "shift"
        return one(f"{ours}.{injection}.{leaf}", tensor)
    if layer == "qkv":
        attention = network.get_submodule(part).attention
        heads, rows = attention.n_heads, tensor.shape[0] // 3
        new = isinstance(attention, GUIDED.QKVAttention)
        return fused(ours, leaf, matrix(tensor), (1, 3, rows) if new else (heads, 3, rows // heads))
    if layer == "proj_out":
        return one(f"{ours}.out.{leaf}", matrix(tensor))
    if layer == "norm":
        return one(f"{ours}.norm.{leaf}", tensor)
    return one(f"{ours}.{GUIDED_BLOCK[layer]}.{leaf}", tensor)


def gates(network, name, tensor):
    """Of the learned gate of one long skip."""
    key, leaf = name.rsplit(".", 1)
    part = {"layer1": "squeeze", "layer2": "excite"}[key]
    return one(f"{network.place}.{part}.{leaf}", tensor)


def tensors(networks, names):
    """All tensors of some networks by our names, sorted by them."""
    listed = []
    for network, ours in zip(networks, names):
        for name, tensor in network.state_dict().items():
            if not name.endswith("resample_filter"):
                listed += ours(network, name, tensor)
    assert len({name for name, _, _ in listed}) == len(listed)
    return sorted(listed, key=lambda entry: entry[0])


def turns(name):
    """EDM2 keeps 2 pi times what ours does."""
    return 2 * math.pi if name in TURNS else 1.0


def laws(make):
    """Rows of (centre, half-width, deviation), from networks whose draws are all at the edge of their law."""
    columns = []
    for Torch.half_width, Torch.deviation in [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)]:
        rows = [(name, tensor / turns(name)) for name, _, tensor in make()]
        for name, tensor in rows:
            assert tensor.min() == tensor.max(), name
        columns.append(torch.stack([tensor.flatten()[0] for _, tensor in rows]))
    Torch.half_width = Torch.deviation = 0.0
    centre, uniform_edge, deviation = columns
    return torch.stack([centre, uniform_edge - centre, deviation - centre], dim=1)


def fill(listed):
    with torch.no_grad():
        for name, shape, view in listed:
            view.copy_((weight(name, shape) * turns(name)).reshape(view.shape))


TURNS = set()


def write(name, build, ours, image, label, *, classes=None, join=None, gated=None, trained=False):
    """One case; `join(stream, kept, at, gates)` gives what is concatenated at the `at`th long skip, and `gated` the
    channels of those that have a learned gate."""

    def networks():
        made, names = [build()], [ours]
        for place, channels in (gated or {}).items():
            made.append(SCALELONG.Attentionlayer(channels))
            made[-1].place = place
            names.append(gates)
        return made, names

    TURNS.clear()
    TURNS.update({"embedding.features.weight", "embedding.phases.weight"} if ours is edm2 else ())
    io = {"laws": laws(lambda: tensors(*networks()))}
    made, names = networks()
    listed = tensors(made, names)
    fill(listed)
    net, *layers = made
    net.train(trained)
    io |= {"x": noise("x", (BATCH, *image)), "label": torch.tensor(label)}
    if classes is not None:
        io["class"] = classes
    given = [io["x"], io["label"]]
    if classes is not None or ours is not guided:
        given.append(torch.zeros(BATCH, 0) if classes is None else classes)
    at = itertools.count()
    if join is not None:
        EDM.torch.join = lambda stream, kept: join(stream, kept, next(at), layers)
    with torch.set_grad_enabled(trained):
        output = net(*given)
    EDM.torch.join = None
    io["output"] = output.detach()
    if trained:  # plain gradient descent along <output, noise>
        parameters = list(net.parameters())
        gradients = torch.autograd.grad((output * noise("cotangent", output.shape)).sum(), parameters)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients):
                parameter -= 0.1 * gradient
            io["output2"] = net(*given)
        seen = [(uniform(f"probe.{name}", tensor.numel()), tensor / turns(name)) for name, _, tensor in listed]
        io["stored"] = torch.stack([torch.from_numpy(probe) @ tensor.flatten() for probe, tensor in seen])
    FOLDER.mkdir(exist_ok=True)
    # Zero-dimensional tensors and views do not go into a file as they are.
    save_file({key: value.contiguous() for key, value in io.items()}, FOLDER / f"{name}.safetensors")
    print(f"{name}: {len(listed)} tensors, output of size {io['output'].square().mean().sqrt():.3}")


def build(network, image, resolution, **options):
    """A function that makes an EDM network that knows its resolution."""

    def make():
        channels = {"img_channels": image[0]} if network is EDM2.UNet else {"in_channels": image[0], "out_channels": image[0]}
        made = network(img_resolution=resolution, **channels, **options)
        made.resolution = resolution
        return made

    return make


SONG, ADM, MAGNITUDE_UNET = EDM.SongUNet, EDM.DhariwalUNet, EDM2.UNet
LABEL = [-0.75, 1.25]
STEPS = [12.5, 3.0]
SOFT = torch.tensor([[0.0, 1.0, 0.0], [0.25, 0.0, 0.5]])
FOURIER = {"embedding_type": "fourier", "channel_mult_noise": 2, "resample_filter": [1, 3, 3, 1]}
WIDE, SQUARE = (2, 8, 12), (2, 8, 8)

ddpmpp = build(SONG, WIDE, 8, label_dim=0, model_channels=32, channel_mult=[1, 2], num_blocks=1, attn_resolutions=[8])
write("ddpmpp", ddpmpp, edm, WIDE, LABEL)
write("ddpmpp-classes", build(SONG, SQUARE, 8, label_dim=3, model_channels=16, channel_mult=[2, 1, 3], num_blocks=2,
                              attn_resolutions=[4]), edm, SQUARE, LABEL, classes=SOFT)
write("ncsnpp", build(SONG, WIDE, 8, model_channels=16, channel_mult=[1, 2, 1], num_blocks=1, attn_resolutions=[4],
                      encoder_type="residual", **FOURIER), edm, WIDE, LABEL)
write("ncsnpp-skips", build(SONG, SQUARE, 8, label_dim=3, model_channels=16, channel_mult=[1, 2, 2], num_blocks=1,
                            attn_resolutions=[8], encoder_type="skip", decoder_type="skip", **FOURIER),
      edm, SQUARE, LABEL, classes=SOFT)
write("adm", build(ADM, WIDE, 8, model_channels=64, channel_mult=[1, 2], num_blocks=1, attn_resolutions=[4]),
      edm, WIDE, LABEL)
write("adm-classes", build(ADM, SQUARE, 8, label_dim=3, model_channels=64, channel_mult=[1, 2], num_blocks=1,
                           attn_resolutions=[8, 4]), edm, SQUARE, LABEL, classes=SOFT[:1].expand(2, 3).contiguous())


def guided_model(image, **options):
    def make():
        model = GUIDED.UNetModel(image_size=8, in_channels=image[0], out_channels=2 * image[0], model_channels=32,
                                 channel_mult=(1, 2), **options)
        model.dtype, model.scale_shift = torch.float64, options.get("use_scale_shift_norm", False)
        return model

    return make


PUBLISHED = {"use_scale_shift_norm": True, "resblock_updown": True, "num_head_channels": 16}
write("guided", guided_model(WIDE, num_res_blocks=1, attention_resolutions=(2,), use_new_attention_order=True,
                             **PUBLISHED), guided, WIDE, STEPS)
write("guided-classes", guided_model(SQUARE, num_res_blocks=1, attention_resolutions=(1, 2), num_classes=5,
                                     **PUBLISHED), guided, SQUARE, STEPS, classes=torch.tensor([4, 0]))
write("guided-convolutions", guided_model(SQUARE, num_res_blocks=1, attention_resolutions=(2,), num_heads=4),
      guided, SQUARE, STEPS)
write("guided-plain", guided_model(WIDE, num_res_blocks=1, attention_resolutions=(1,), num_heads=2,
                                   conv_resample=False), guided, WIDE, STEPS)

SMALL = {"model_channels": 32, "channel_mult": [1, 2], "num_blocks": 1, "channels_per_head": 16}
write("edm2", build(MAGNITUDE_UNET, WIDE, 8, label_dim=0, attn_resolutions=[4], **SMALL), edm2, WIDE, LABEL)
write("edm2-classes", build(MAGNITUDE_UNET, SQUARE, 8, label_dim=3, attn_resolutions=[8], label_balance=0.3,
                            concat_balance=0.6, res_balance=0.4, attn_balance=0.2, clip_act=1.0,
                            resample_filter=[1, 3, 3, 1], **SMALL), edm2, SQUARE, LABEL, classes=SOFT)
write("edm2-trained", build(MAGNITUDE_UNET, SQUARE, 8, label_dim=3, attn_resolutions=[8], **SMALL), edm2, SQUARE, LABEL,
      classes=SOFT, trained=True)

# Other joins in DDPM++.

KEPT = {"decoder1.skip0": 64, "decoder1.skip1": 32, "decoder0.skip0": 32, "decoder0.skip1": 32}


def learned(stream, kept, at, layers):
    gate = layers[at](kept.flatten(2)).unsqueeze(-1)  # one for each channel, in place of each token
    return stream, kept * gate


BACKBONE = {0: 1.3, 3: 0.8}  # at the first and the last long skip


def freeu_constant(stream, kept, at, _):
    index = {0: 0, 3: 1}.get(at, 2)
    return freeu.apply_freeu(index, stream.clone(), kept, b1=BACKBONE[0], b2=BACKBONE[3], s1=0.4, s2=1.5)


def freeu_mean(stream, kept, at, _):
    """The second version: the factor follows the mean of the stream's channels, brought to [0, 1]."""
    index = {0: 0, 3: 1}.get(at, 2)
    _, filtered = freeu.apply_freeu(index, stream.clone(), kept, b1=1.0, b2=1.0, s1=0.4, s2=1.5)
    mean = stream.mean(dim=1, keepdim=True)
    for image in mean:
        image -= image.min()
        image /= image.max()
    factor = torch.ones_like(stream)
    factor[:, : stream.shape[1] // 2] += (BACKBONE.get(at, 1.0) - 1) * mean
    return stream * factor, filtered


write("join-learned", ddpmpp, edm, WIDE, LABEL, join=learned, gated=KEPT)
write("join-power", ddpmpp, edm, WIDE, LABEL, join=lambda stream, kept, at, _: (stream, kept * 0.7 ** (3 - at)))
write("join-magnitude", ddpmpp, edm, WIDE, LABEL,
      join=lambda stream, kept, at, _: (EDM2.mp_cat(stream, kept, t=0.3).split([stream.shape[1], kept.shape[1]], 1)))
write("freeu-constant", ddpmpp, edm, WIDE, LABEL, join=freeu_constant)
write("freeu-mean", ddpmpp, edm, WIDE, LABEL, join=freeu_mean)
