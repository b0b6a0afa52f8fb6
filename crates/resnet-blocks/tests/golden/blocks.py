"""Writes blocks.safetensors: what PyTorch and diffusers compute where tests/golden.rs computes it with ours.

Every tensor is float64. A case NAME is `NAME/x`, `NAME/e` (the embedding, or the branch of a skip),
`NAME/y` (the answer) and `NAME/w/VARIABLE`, by our names of variables. Modules of diffusers answer
where there are any; the others are written out here from the papers. Run with torch 2.11.0,
diffusers 0.42.1, numpy:

    python crates/resnet-blocks/tests/golden/blocks.py
"""

import math
import pathlib

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import Attention
from diffusers.models.downsampling import KDownsample2D, downsample_2d
from diffusers.models.resnet import ResnetBlock2D, ResnetBlockCondNorm2D
from diffusers.models.upsampling import KUpsample2D, upsample_2d
from diffusers.utils.torch_utils import apply_freeu
from safetensors.torch import save_file

torch.set_default_dtype(torch.float64)
torch.manual_seed(4)
written = {}


draw = torch.randn


def image(channels=8, height=4, width=4):
    return draw(2, channels, height, width)


def case(name, x, y, e=None, **weights):
    """Keeps one case; a dot in a variable's name is `__` in the keyword."""
    tensors = {"x": x, "e": torch.zeros(1) if e is None else e, "y": y}
    tensors |= {f"w/{key.replace('__', '.')}": value for key, value in weights.items()}
    for part, tensor in tensors.items():
        written[f"{name}/{part}"] = tensor.detach().clone().contiguous()


def module(name, reference, names, x, e=None):
    """A module of diffusers with random parameters; `names` takes its layers to ours."""
    reference = reference.double().eval()
    weights = {}
    for key, parameter in reference.named_parameters():
        parameter.data = 0.5 * draw(*parameter.shape)
        layer, part = key.rsplit(".", 1)
        weights[f"{names[layer]}.{part}"] = parameter
    with torch.no_grad():
        y = reference(x) if e is None else reference(x, e)
    case(name, x, y, e, **weights)


def column(vector):
    """Numbers for each channel, of every image."""
    return vector[..., None, None]


# Activations.


def activation(name, function):
    x = 3.0 * draw(7, 5)
    case(f"activation/{name}", x, function(x))


activation("silu", lambda x: x / (1.0 + torch.exp(-x)))
activation("relu", lambda x: torch.where(x > 0.0, x, 0.0))
activation("elu", lambda x: torch.where(x > 0.0, x, torch.exp(x) - 1.0))
activation("leaky-relu", lambda x: torch.where(x > 0.0, x, 0.2 * x))
activation("tanh", lambda x: (torch.exp(x) - torch.exp(-x)) / (torch.exp(x) + torch.exp(-x)))
activation("gelu", lambda x: x * 0.5 * (1.0 + torch.erf(x / math.sqrt(2.0))))
activation("mish", lambda x: x * torch.tanh(torch.log(1.0 + torch.exp(x))))
activation("magnitude-silu", lambda x: x / (1.0 + torch.exp(-x)) / 0.596)

# Normalisations.


def standard(x, dims, eps):
    mean = x.mean(dims, keepdim=True)
    return (x - mean) / torch.sqrt(((x - mean) ** 2).mean(dims, keepdim=True) + eps)


def group(x, groups, eps):
    parts = x.reshape(x.shape[0], groups, -1)
    return standard(parts, 2, eps).reshape(x.shape)


def rms(x, eps):
    return x / torch.sqrt((x**2).mean(1, keepdim=True) + eps)


def instance_plus(x, factor, eps):
    means = x.mean((2, 3))
    spread = torch.sqrt(means.var(1, keepdim=True) + eps)  # unbiased
    return standard(x, (2, 3), eps) + column(factor * (means - means.mean(1, keepdim=True)) / spread)


def norm(name, x, normal):
    weight, bias = draw(x.shape[1]), draw(x.shape[1])
    weights = {"weight": weight} if name.startswith("rms") else {"weight": weight, "bias": bias}
    shape = (1, -1) + (1,) * (x.dim() - 2)
    y = normal * weight.reshape(shape)
    y = y if name.startswith("rms") else y + bias.reshape(shape)
    case(f"norm/{name}", x, y, **weights)


x = image()
norm("group", x, group(x, 4, 1e-3))
norm("layer", x, group(x, 1, 1e-3))
norm("rms", x, rms(x, 1e-3))
x = draw(3, 8)
norm("group-of-vectors", x, group(x, 2, 1e-3))
norm("layer-of-vectors", x, F.layer_norm(x, (8,), eps=1e-3))
norm("rms-of-vectors", x, F.rms_norm(x, (8,), eps=1e-3))
x, factor, weight, bias = image(), draw(8), draw(8), draw(8)
y = instance_plus(x, factor, 1e-3) * column(weight) + column(bias)
case("norm/instance-plus", x, y, weight=weight, bias=bias, mean__weight=factor)

# Short skips: x is the shortcut h, e the branch F.


def short(name, rule, h=None, f=None, **weights):
    h, f = (image(), image()) if h is None else (h, f)
    case(f"short/{name}", h, rule(h, f), f, **weights)


short("none", lambda h, f: f)
short("identity", lambda h, f: h + f)
short("scaled", lambda h, f: h + 0.3 * f)
short("averaged", lambda h, f: (h + f) / math.sqrt(2.0))
short("magnitude-preserving", lambda h, f: (0.7 * h + 0.3 * f) / math.sqrt(0.49 + 0.09))
short("stochastic-depth", lambda h, f: h + 0.8 * f)
gain = draw(1)
short("re-zero", lambda h, f: h + gain * f, skip__gain__weight=gain)
short("fixup", lambda h, f: h + gain * f, skip__gain__weight=gain)
gains = draw(8)
short("layer-scale", lambda h, f: h + column(gains) * f, skip__gain__weight=gains)
weight, bias = draw(8, 8), draw(8)


def highway(h, f):
    gate = torch.einsum("oi,bi...->bo...", weight, h)
    gate = torch.sigmoid(gate + bias.reshape((-1,) + (1,) * (h.dim() - 2)))
    return gate * f + (1.0 - gate) * h


gate = {"skip__gate__weight": weight, "skip__gate__bias": bias}
short("highway", highway, **gate)
short("highway-of-vectors", highway, draw(3, 8), draw(3, 8), **gate)
scale, shift = draw(8), draw(8)
affine = {"skip__norm__weight": scale, "skip__norm__bias": shift}
deep = 12**0.25
short(
    "deep-norm",
    lambda h, f: group(deep * h + f, 1, 1e-5) * column(scale) + column(shift),
    **affine,
)
short(
    "deep-norm-of-vectors",
    lambda h, f: F.layer_norm(deep * h + f, (8,), scale, shift, 1e-5),
    draw(3, 8),
    draw(3, 8),
    **affine,
)

# Long skips: x is the encoder's feature a, e the decoder's b.


def long(name, rule, a=None, **weights):
    a, b = image() if a is None else a, image()
    case(f"long/{name}", a, rule(a, b), b, **weights)


def balanced(a, b, t=0.3):
    ours, theirs = b.shape[1], a.shape[1]
    all_ = math.sqrt((ours + theirs) / ((1.0 - t) ** 2 + t**2))
    parts = [(1.0 - t) / math.sqrt(ours) * b, t / math.sqrt(theirs) * a]
    return all_ * torch.cat(parts, dim=1)


long("none", lambda a, b: b)
long("add", lambda a, b: (a + b) * 0.5)
long("concat", lambda a, b: torch.cat([b, a], dim=1), image(4))
long("concat-scaled", lambda a, b: torch.cat([b, 0.5 * a], dim=1), image(4))
long("concat-magnitude-preserving", balanced, image(4))
squeeze, excite = torch.nn.Linear(32, 2), torch.nn.Linear(2, 32)


def learned(a, b):
    gate = torch.sigmoid(excite(torch.relu(squeeze(a.mean((2, 3))))))
    return torch.cat([b, column(gate) * a], dim=1)


named = {"squeeze": squeeze, "excite": excite}
weights = {f"skip__{k}__{p}": t for k, m in named.items() for p, t in m.named_parameters()}
long("concat-learned", learned, image(32), **weights)

# FreeU, from the paper; diffusers filters in single precision, so it is compared with and not written.


def weakened(x, factor):
    for height in (0, -1):
        for width in (0, -1):
            mode = torch.zeros(x.shape[2:], dtype=torch.complex128)
            mode[height, width] = 1.0
            wave = torch.fft.ifft2(mode) * mode.numel()
            share = (x * wave.conj()).mean((2, 3), keepdim=True)
            x = x + (factor - 1.0) * share * wave
    return x.real


factors = {"b1": 1.3, "s1": 0.6, "b2": 0.0, "s2": 0.0}
for name, sides in (("free-u", (4, 6)), ("free-u-odd", (5, 7))):
    a, b = image(4, *sides), image(6, *sides)
    ours, theirs = torch.cat([1.3 * b[:, :3], b[:, 3:]], dim=1), weakened(a, 0.6)
    for mine, diffusers in zip((ours, theirs), apply_freeu(0, b.clone(), a.clone(), **factors)):
        assert torch.allclose(mine, diffusers, atol=1e-6)
    case(f"long/{name}", a, torch.cat([ours, theirs], dim=1), b)
mean = b.mean(1, keepdim=True)
least, most = mean.amin((2, 3), keepdim=True), mean.amax((2, 3), keepdim=True)
factor = 1.0 + 0.3 * (mean - least) / (most - least)
ours = torch.cat([b[:, :3] * factor, b[:, 3:]], dim=1)
case("long/free-u-structured", a, torch.cat([ours, theirs], dim=1), b)

# Convolutions.


def conv(name, kernel, x, pad, stride=1):
    weight, bias = draw(6, 8, kernel, kernel), draw(6)
    y = F.conv2d(F.pad(x, pad), weight, bias, stride=stride)
    case(f"conv/{name}", x, y, weight=weight, bias=bias)


conv("3x3", 3, image(), (1, 1, 1, 1))
conv("1x1", 1, image(), (0, 0, 0, 0))
conv("halving-even", 3, image(8, 4, 6), (1, 1, 1, 1), 2)
conv("halving-odd", 3, image(8, 5, 7), (1, 1, 1, 1), 2)
# TensorFlow's SAME: as much in all as the last window needs, the larger half last.
conv("same-even", 3, image(8, 4, 6), (0, 1, 0, 1), 2)
conv("same-odd", 3, image(8, 5, 7), (1, 1, 1, 1), 2)
conv("same-odd-and-even", 3, image(8, 5, 6), (0, 1, 1, 1), 2)
conv("same-1x1", 1, image(8, 4, 5), (0, 0, 0, 0), 2)
conv("same-by-three", 3, image(8, 7, 6), (0, 0, 1, 1), 3)

# Changes of the side.


def resample(name, x, y):
    case(f"resample/{name}", x, y)


def mean_of_what_there_is(x):
    rows = [x[:, :, 2 * i : 2 * i + 2].mean(2) for i in range((x.shape[2] + 1) // 2)]
    x = torch.stack(rows, 2)
    columns = [x[..., 2 * i : 2 * i + 2].mean(3) for i in range((x.shape[3] + 1) // 2)]
    return torch.stack(columns, 3)


def filtered_halves(x, mode):
    """Every other value of the filter (1, 3, 3, 1) / 8 along each side, ceil(side / 2) of them."""
    x = F.pad(x, (1, 2, 1, 2), mode=mode)
    for dim in (2, 3):
        size = x.shape[dim] - 3
        taps = [x.narrow(dim, k, size) for k in range(4)]
        x = (taps[0] + 3.0 * taps[1] + 3.0 * taps[2] + taps[3]) / 8.0
        x = x.index_select(dim, torch.arange(0, size, 2))
    return x


x = image(3, 4, 6)
resample("halve-mean", x, F.avg_pool2d(x, 2))
x = image(3, 5, 7)
resample("halve-mean-odd", x, mean_of_what_there_is(x))
x = image(3, 3, 4)
resample("double-nearest", x, x.repeat_interleave(2, 2).repeat_interleave(2, 3))
x = image(3, 4, 6)
resample("halve-fir", x, downsample_2d(x, kernel=(1, 3, 3, 1)))
assert torch.allclose(written["resample/halve-fir/y"], filtered_halves(x, "constant"))
x = image(3, 5, 7)
resample("halve-fir-odd", x, filtered_halves(x, "constant"))
x = image(3, 4, 3)
resample("double-fir", x, upsample_2d(x, kernel=(1, 3, 3, 1)))
x = image(3, 4, 6)
resample("halve-fir-mirror", x, KDownsample2D()(x))
assert torch.allclose(written["resample/halve-fir-mirror/y"], filtered_halves(x, "reflect"))
x = image(3, 5, 7)
resample("halve-fir-mirror-odd", x, filtered_halves(x, "reflect"))
x = image(3, 4, 3)
resample("double-fir-mirror", x, KUpsample2D()(x))

# Residual blocks.

RESNET = {
    "norm1": "norm1",
    "conv1": "conv1",
    "time_emb_proj": "shift",
    "norm2": "norm2",
    "conv2": "conv2",
    "conv_shortcut": "projection",
}
SCALE_SHIFT = {**RESNET, "time_emb_proj": "scale_shift"}
ADAPTIVE = {**RESNET, "norm1.linear": "modulate1", "norm2.linear": "modulate2"}
EMBEDDED = {"temb_channels": 6, "groups": 2, "eps": 1e-3}

module(
    "block/ddpm",
    ResnetBlock2D(in_channels=4, out_channels=8, **EMBEDDED),
    RESNET,
    image(4),
    draw(2, 6),
)
module(
    "block/ddpm-unembedded",
    ResnetBlock2D(in_channels=8, temb_channels=None, groups=2, eps=1e-3, non_linearity="mish"),
    RESNET,
    image(),
    torch.zeros(1),
)
module(
    "block/adm-halving",
    ResnetBlock2D(
        in_channels=4, out_channels=8, time_embedding_norm="scale_shift", down=True, **EMBEDDED
    ),
    SCALE_SHIFT,
    image(4),
    draw(2, 6),
)
module(
    "block/ncsnpp-doubling",
    ResnetBlock2D(
        in_channels=4,
        out_channels=8,
        up=True,
        kernel="fir",
        output_scale_factor=math.sqrt(2.0),
        use_in_shortcut=True,
        **EMBEDDED,
    ),
    RESNET,
    image(4, 3, 3),
    draw(2, 6),
)
module(
    "block/k-diffusion",
    ResnetBlockCondNorm2D(
        in_channels=4,
        out_channels=8,
        time_embedding_norm="ada_group",
        non_linearity="gelu",
        conv_shortcut_bias=False,
        **EMBEDDED,
    ),
    ADAPTIVE,
    image(4),
    draw(2, 6),
)


def kernels(channels_in, channels):
    names = {"conv1": (channels_in, 3), "conv2": (channels, 3)}
    weights = {}
    for name, (inputs, side) in names.items():
        weights[f"{name}.weight"] = draw(channels, inputs, side, side)
        weights[f"{name}.bias"] = draw(channels)
    return weights


def apply(weights, name, x):
    weight = weights[f"{name}.weight"]
    return F.conv2d(x, weight, weights.get(f"{name}.bias"), padding=weight.shape[-1] // 2)


def modulated(normal, parts):
    scale, shift = parts.chunk(2, 1)
    return normal * (1.0 + column(scale)) + column(shift)


# Conditional instance normalisation++, ELU, a 3x3 shortcut.
x, e, weights = image(4), draw(2, 6), kernels(4, 8)
weights["projection.weight"] = draw(8, 4, 3, 3)
weights["projection.bias"] = draw(8)
for name, channels in (("modulate1", 4), ("modulate2", 8)):
    weights[f"{name}.weight"], weights[f"{name}.bias"] = draw(3 * channels, 6), draw(3 * channels)


def conditional(name, x):
    parts = F.linear(F.silu(e), weights[f"{name}.weight"], weights[f"{name}.bias"])
    scale, shift, factor = parts.chunk(3, 1)
    return modulated(instance_plus(x, 1.0 + factor, 1e-3), torch.cat([scale, shift], 1))


y = apply(weights, "conv1", F.elu(conditional("modulate1", x)))
y = apply(weights, "conv2", F.elu(conditional("modulate2", y)))
case("block/ncsn", x, y + apply(weights, "projection", x), e, **weights)

# Root mean square normalisation with an embedding's scale and with a learned one.
x, e, weights = image(), draw(2, 6), kernels(8, 8)
for name in ("modulate1", "modulate2"):
    weights[f"{name}.weight"], weights[f"{name}.bias"] = draw(8, 6), draw(8)


def scaled(name, x):
    parts = F.linear(e, weights[f"{name}.weight"], weights[f"{name}.bias"])
    return rms(x, 1e-3) * (1.0 + column(parts))


y = apply(weights, "conv1", torch.tanh(scaled("modulate1", x)))
case("block/adaptive-rms", x, apply(weights, "conv2", torch.tanh(scaled("modulate2", y))), e, **weights)

x, e, weights = image(), draw(2, 6), kernels(8, 8)
weights |= {"norm1.weight": draw(8), "norm2.weight": draw(8)}
weights |= {"scale_shift.weight": draw(16, 6), "scale_shift.bias": draw(16)}
y = apply(weights, "conv1", F.leaky_relu(rms(x, 1e-3) * column(weights["norm1.weight"]), 0.2))
y = rms(y, 1e-3) * column(weights["norm2.weight"])
y = modulated(y, F.linear(e, weights["scale_shift.weight"], weights["scale_shift.bias"]))
case("block/rms", x, x + apply(weights, "conv2", F.leaky_relu(y, 0.2)), e, **weights)

# Vectors.
for name, normal in (
    ("plain", lambda x: x),
    ("layer", lambda x: F.layer_norm(x, x.shape[1:], eps=1e-3)),
):
    x, first, second = draw(3, 5), torch.nn.Linear(5, 7), torch.nn.Linear(7, 5)
    y = second(F.silu(normal(first(F.silu(normal(x))))))
    named = {"linear1": first, "linear2": second}
    weights = {f"{k}__{p}": t for k, m in named.items() for p, t in m.named_parameters()}
    if name == "layer":
        for which, width in (("norm1", 5), ("norm2", 7)):
            weights |= {f"{which}.weight": torch.ones(width), f"{which}.bias": torch.zeros(width)}
    case(f"mlp/{name}", x, y, **weights)

# Attention.
MIX = {"group_norm": "norm", "to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "out"}
for name, heads, width in (("attention", 2, 4), ("attention-narrow", 3, 2)):
    reference = Attention(
        8,
        heads=heads,
        dim_head=width,
        bias=True,
        norm_num_groups=2,
        eps=1e-3,
        rescale_output_factor=math.sqrt(2.0),
        residual_connection=True,
    )
    module(f"block/{name}", reference, MIX, image(8, 3, 4))


def unit(x, dims):
    return x / (torch.sqrt((x**2).mean(dims, keepdim=True)) + 1e-4)


def cosine(q, k, v):
    q, k, v = (unit(part, -1) for part in (q, k, v))
    scores = torch.einsum("bnqc,bnkc->bnqk", q, k) / math.sqrt(q.shape[-1])
    return torch.einsum("bnqk,bnkc->bnqc", scores.softmax(-1), v)


def heads_of(features, heads):
    """[B, channels, H, W] to [B, heads, pixels, channels of a head]."""
    return features.flatten(2).unflatten(1, (heads, -1)).transpose(2, 3)


x = image(8, 3, 4)
layers = {name: torch.nn.Conv2d(8, 8, 1) for name in ("query", "key", "value", "out")}
parts = [heads_of(layers[name](x), 2) for name in ("query", "key", "value")]
y = layers["out"](cosine(*parts).transpose(2, 3).reshape(x.shape))
weights = {}
for name, layer in layers.items():
    weights |= {f"{name}.weight": layer.weight[:, :, 0, 0], f"{name}.bias": layer.bias}
case("block/cosine-attention", x, x + y, **weights)

# The blocks of EDM2, from figure 21 and equations 47, 81 and 88.


def magnitude(weights, name, x, gain=1.0):
    weight = weights[f"{name}.weight"]
    row = tuple(range(1, weight.dim()))
    weight = unit(weight, row) * gain / math.sqrt(weight[0].numel())
    if weight.dim() == 2:
        return x @ weight.T
    return F.conv2d(x, weight, padding=weight.shape[-1] // 2)


def mp_silu(x):
    return F.silu(x) / 0.596


def mp_sum(a, b, t):
    return ((1.0 - t) * a + t * b) / math.sqrt((1.0 - t) ** 2 + t**2)


def edm2(name, x, encoder, heads, clip):
    inputs, outputs = x.shape[1], 8
    weights = {
        "conv1.weight": draw(outputs, outputs if encoder else inputs, 3, 3),
        "gain.weight": draw(1),
        "embedding.weight": draw(outputs, 6),
        "conv2.weight": draw(outputs, outputs, 3, 3),
    }
    if inputs != outputs:
        weights["projection.weight"] = draw(outputs, inputs, 1, 1)
    for part in ("query", "key", "value", "out") if heads else ():
        weights[f"{part}.weight"] = draw(outputs, outputs, 1, 1)
    e = draw(2, 6)
    h = F.avg_pool2d(x, 2) if encoder else x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    project = lambda h: magnitude(weights, "projection", h) if inputs != outputs else h
    if encoder:
        h = unit(project(h), 1)
    factor = 1.0 + magnitude(weights, "embedding", e, weights["gain.weight"])
    f = mp_silu(magnitude(weights, "conv1", mp_silu(h)) * column(factor))
    f = magnitude(weights, "conv2", f)
    if not encoder:
        h = project(h)
    h = mp_sum(h, f, 0.3)
    if heads:
        parts = [heads_of(magnitude(weights, part, h), heads) for part in ("query", "key", "value")]
        read = cosine(*parts).transpose(2, 3).reshape(h.shape)
        h = mp_sum(h, magnitude(weights, "out", read), 0.4)
    case(f"magnitude/{name}", x, h.clamp(-clip, clip), e, **weights)


edm2("encoder", image(4), True, 2, 256.0)
edm2("encoder-of-equal-channels", image(8), True, 0, 256.0)
edm2("decoder", image(12, 2, 3), False, 4, 256.0)
edm2("decoder-clipped", image(8, 2, 3), False, 0, 0.9)

save_file(written, pathlib.Path(__file__).parent / "blocks.safetensors")
print(sum(key.endswith("/y") for key in written), "cases")
