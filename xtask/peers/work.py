"""The other side of a measurement: what a person would write with PyTorch, diffusers or numpy instead.

    python work.py ROW HOW --dir DIR --threads N

speaks the protocol of `ablate bench-work`: a line of JSON with the answer on the common inputs, then, for each line
`pass` on standard input, one with the seconds of a unit of the work. HOW is eager or compile, with +bf16 for autocast,
or a name of the row's own. `python work.py prepare DIR` writes what both sides read.
"""

import argparse
import json
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

from inputs import normals, uniforms

RATE, WIDTH, POINTS, IMAGES, COMPARED = 1e-4, 128, 512, 64, 256


def single(values):
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


class Block(torch.nn.Module):
    """Two square layers, each after its activation."""

    def __init__(self, skip):
        super().__init__()
        self.linear1 = torch.nn.Linear(WIDTH, WIDTH)
        self.linear2 = torch.nn.Linear(WIDTH, WIDTH)
        self.skip = skip

    def forward(self, h):
        branch = self.linear2(F.silu(self.linear1(F.silu(h))))
        return h + branch if self.skip else branch


class Mlp(torch.nn.Module):
    def __init__(self, hidden_layers, skip):
        super().__init__()
        self.read_in = torch.nn.Linear(3, WIDTH)
        self.blocks = torch.nn.ModuleList(Block(skip) for _ in range(hidden_layers // 2))
        self.read_out = torch.nn.Linear(WIDTH, 2)
        with torch.no_grad():
            for place, tensor in enumerate(self.parameters()):
                bound = tensor.shape[1] ** -0.5 if tensor.dim() == 2 else 0.1
                values = bound * (2.0 * uniforms(100 + place, tensor.numel()) - 1.0)
                tensor.copy_(single(values).view_as(tensor))

    def forward(self, x, label):
        h = self.read_in(torch.cat([x, label[:, None]], 1))
        for block in self.blocks:
            h = block(h)
        return self.read_out(h)


class Trainer:
    """A step: draws, loss, gradients, Adam (AdamW without decay), as the other side's."""

    def __init__(self, net, how, size, noising):
        self.bf16, self.noising = "bf16" in how.split("+"), noising
        self.net = net
        self.opt = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=0.0, fused=True)
        self.call = torch.compile(net) if how.startswith("compile") else net
        self.data = single(normals(5, int(np.prod(size)))).view(size)
        self.bars = torch.cumprod(1.0 - torch.linspace(1e-4, 2e-2, 1000, dtype=torch.float64), 0)

    def batch(self, noise, uniform):
        if self.noising == "diffusion":
            label = (uniform * 1000.0).long()
            bar = self.bars[label]
            keep, add = bar.sqrt().float(), (1.0 - bar).sqrt().float()
        else:
            label = uniform.float() if self.noising == "straight" else torch.full((len(uniform),), 0.01)
            keep, add = 1.0 - label, label
        column = (-1,) + (1,) * (self.data.dim() - 1)
        return keep.view(column) * self.data + add.view(column) * noise, label, noise

    def loss(self, batch):
        noised, label, noise = batch
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            answer = self.call(noised, label)
        return F.mse_loss(answer.float(), noise)

    def learn(self, batch):
        loss = self.loss(batch)
        loss.backward()
        self.opt.step()
        self.opt.zero_grad(set_to_none=True)
        return loss.item()

    def step(self):
        return self.learn(self.batch(torch.randn_like(self.data), torch.rand(len(self.data), dtype=torch.float64)))

    def common(self, number):
        noise = single(normals(1000 + number, self.data.numel())).view_as(self.data)
        return self.batch(noise, torch.from_numpy(uniforms(2000 + number, len(self.data))))

    def answer(self):
        noised, label, _ = self.common(0)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            predicted = self.call(noised, label).float().flatten()[:COMPARED].tolist()
        return predicted + [self.learn(self.common(number)) for number in range(3)]

    def timed(self, steps):
        begin = time.perf_counter()
        for _ in range(steps):
            self.step()
        return (time.perf_counter() - begin) / steps


def unet_trainer(folder, how):
    return Trainer(unet(folder).train(), how, (IMAGES, 1, 32, 32), "diffusion")


def unet(folder):
    from diffusers import UNet2DModel

    net = UNet2DModel.from_pretrained(folder)

    class Sample(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x, label):
            return self.net(x, label, return_dict=False)[0]

    return Sample()


def mlp_trainer(hidden_layers, how, skip=True, noising="straight"):
    return Trainer(Mlp(hidden_layers, skip), how, (POINTS, 2), noising)


def mlp(hidden_layers, how):
    trainer = mlp_trainer(hidden_layers, how)
    return trainer.answer(), lambda: trainer.timed(400 // hidden_layers)


CELLS = [(skip, noise, seed) for seed in range(4) for noise in (True, False) for skip in (True, False)]


def cell(which):
    skip, noise, seed = which
    torch.manual_seed(seed)
    mlp_trainer(8, "eager", skip, "straight" if noise else "hardly").timed(500)


def pool_cell(which):
    torch.set_num_threads(1)
    cell(which)


def grid(how):
    # A process that has used its threads must not fork, so what is compared is computed on one.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    answer = [number for skip in (True, False) for number in mlp_trainer(8, "eager", skip).answer()]
    torch.set_num_threads(threads if how == "loop" else 1)

    def once():
        begin = time.perf_counter()
        if how == "loop":
            for which in CELLS:
                cell(which)
        else:
            import multiprocessing

            with multiprocessing.get_context("fork").Pool(threads) as pool:
                pool.map(pool_cell, CELLS, chunksize=1)
        return time.perf_counter() - begin

    return answer, once


def sampling(folder, how):
    from diffusers import DDIMScheduler

    net = unet(f"{folder}/unet").eval()
    call = torch.compile(net) if how.startswith("compile") else net
    scheduler = DDIMScheduler.from_pretrained(f"{folder}/scheduler")
    initial = single(normals(6, IMAGES * 1024)).view(IMAGES, 1, 32, 32)

    def run():
        scheduler.set_timesteps(20)
        x = initial
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled="bf16" in how):
            for t in scheduler.timesteps:
                x = scheduler.step(call(x, t).float(), t, x).prev_sample
        return x

    def once():
        begin = time.perf_counter()
        run()
        return time.perf_counter() - begin

    return run().flatten()[:COMPARED].tolist(), once


def solver(name):
    import diffusers

    options = {"clip_sample": False} if name == "DDIMScheduler" else {}
    scheduler = getattr(diffusers, name)(**options)
    start, answer = (single(normals(stream, 64 * 1024)).view(64, 1, 32, 32) for stream in (3, 4))

    def trajectory():
        scheduler.set_timesteps(20)
        x = start
        begin = time.perf_counter()
        for t in scheduler.timesteps:
            x = scheduler.step(answer, t, x).prev_sample
        return (time.perf_counter() - begin) / 20, x

    return trajectory()[1].flatten()[:COMPARED].tolist(), lambda: float(np.median([trajectory()[0] for _ in range(25)]))


def score(components, dim, n, how):
    """The score of an isotropic mixture by two products and a softmax, in pieces; |x|² cancels in the softmax."""
    torch.set_flush_denormal(True)
    kind = np.float64 if "f64" in how else np.float32
    means, x = (2.0 * normals(stream, rows * dim).reshape(rows, dim) for stream, rows in ((1, components), (2, n)))
    means, x = means.astype(kind), x.astype(kind)
    half = 0.5 * (means * means).sum(1)
    piece = 4096 if dim > 2 else 65536

    def with_numpy(x):
        out = np.empty_like(x)
        for begin in range(0, len(x), piece):
            part = x[begin : begin + piece]
            share = part @ means.T
            share -= half
            share -= share.max(1, keepdims=True)
            np.exp(share, out=share)
            share /= share.sum(1, keepdims=True)
            np.subtract(share @ means, part, out=out[begin : begin + piece])
        return out

    def formula(x, means, half):
        return torch.softmax(x @ means.T - half, 1) @ means - x

    compiled = torch.compile(formula) if how.startswith("compile") else formula
    tensors = torch.from_numpy(means), torch.from_numpy(half)

    def with_torch(x):
        return torch.cat([compiled(part, *tensors) for part in x.split(piece)])

    call, x = (with_numpy, x) if how.startswith("numpy") else (with_torch, torch.from_numpy(x))
    repeats = 3 if dim == 2 else 1

    def once():
        begin = time.perf_counter()
        for _ in range(repeats):
            call(x)
        return (time.perf_counter() - begin) / repeats

    with torch.inference_mode():
        answer = np.asarray(call(x)).ravel()[:COMPARED].astype(float).tolist()

    def without_graph():
        with torch.inference_mode():
            return once()

    return answer, without_graph


def prepare(folder):
    """The networks and the noise that both sides read."""
    from diffusers import DDIMScheduler, UNet2DModel
    from safetensors.torch import save_file

    for row, attention in (("unet", False), ("unet-attention", True), ("sampling", False)):
        torch.manual_seed(0)
        deep = "Attn" if attention else ""
        net = UNet2DModel(
            sample_size=32,
            in_channels=1,
            out_channels=1,
            layers_per_block=2,
            block_out_channels=(32, 64, 64),
            norm_num_groups=8,
            add_attention=attention,
            attention_head_dim=16,
            down_block_types=("DownBlock2D", "DownBlock2D", f"{deep}DownBlock2D"),
            up_block_types=(f"{deep}UpBlock2D", "UpBlock2D", "UpBlock2D"),
        )
        net.save_pretrained(f"{folder}/{row}/unet")
    DDIMScheduler(clip_sample=False).save_pretrained(f"{folder}/sampling/scheduler")
    initial = single(normals(6, IMAGES * 1024)).view(IMAGES, 1, 32, 32)
    save_file({"initial": initial}, f"{folder}/sampling/initial.safetensors")


def unet_row(folder, how):
    trainer = unet_trainer(f"{folder}/unet", how)
    return trainer.answer(), lambda: trainer.timed(2)


def start(folder, how):
    trainer = unet_trainer(f"{folder}/unet", how)
    return [trainer.learn(trainer.common(0))], lambda: trainer.timed(1)


ROWS = {
    "start": lambda how, folder: start(folder, how),
    "unet": lambda how, folder: unet_row(folder, how),
    "unet-attention": lambda how, folder: unet_row(folder, how),
    "mlp4": lambda how, folder: mlp(4, how),
    "mlp16": lambda how, folder: mlp(16, how),
    "grid": lambda how, folder: grid(how),
    "sampling": lambda how, folder: sampling(folder, how),
    "solver-ddim": lambda how, folder: solver("DDIMScheduler"),
    "solver-dpm": lambda how, folder: solver("DPMSolverMultistepScheduler"),
    "score2d": lambda how, folder: score(40, 2, 1_000_000, how),
    "score64d": lambda how, folder: score(1024, 64, 100_000, how),
}


def main():
    if sys.argv[1:2] == ["prepare"]:
        return prepare(sys.argv[2])
    parser = argparse.ArgumentParser()
    parser.add_argument("row", choices=ROWS)
    parser.add_argument("how")
    parser.add_argument("--dir", default=".")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    answer, once = ROWS[arguments.row](arguments.how, arguments.dir)
    libtorch = f"{torch.__version__} (kernels for {torch.backends.cpu.get_cpu_capability()})"
    print(json.dumps({"unit": arguments.how, "answer": answer, "libtorch": libtorch}), flush=True)
    for line in sys.stdin:
        if line.strip() != "pass":
            break
        print(json.dumps({"seconds": once()}), flush=True)


if __name__ == "__main__":
    main()
