"""DCGAN with least squares in PyTorch, as a yardstick for `trainer train`: same networks, batch, optimizer and work per step.

Prints one line of JSON: images per second, the median of several windows after a warm-up.
"""

import argparse
import json
import statistics
import time

import torch
from torch import nn


def generator(size: int, channels: int, width: int, latent: int) -> nn.Sequential:
    base = size
    doublings = 0
    while base % 2 == 0 and base > 4:
        base, doublings = base // 2, doublings + 1
    widths = [width << level for level in reversed(range(doublings))]
    layers = [nn.Linear(latent, widths[0] * base * base, bias=False), nn.Unflatten(1, (widths[0], base, base))]
    layers += [nn.BatchNorm2d(widths[0]), nn.ReLU()]
    for inputs, outputs in zip(widths, widths[1:]):
        layers += [nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    layers += [nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1), nn.Tanh()]
    return nn.Sequential(*layers)


def discriminator(size: int, channels: int, width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    inputs, outputs = channels, width
    while size % 2 == 0 and size > 4:
        layers.append(nn.Conv2d(inputs, outputs, 4, 2, 1, bias=not layers))
        if inputs != channels:
            layers.append(nn.BatchNorm2d(outputs))
        layers.append(nn.LeakyReLU(0.2))
        inputs, outputs, size = outputs, 2 * outputs, size // 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(inputs * size * size, 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--channels", type=int, default=3)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--latent", type=int, default=100)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--mode", choices=["eager", "autocast", "compiled"], default="eager",
                        help="eager multiplies in f32 (on a GPU in TF32), autocast in bf16, compiled likewise by torch.compile")
    parser.add_argument("--seconds", type=float, default=10.0, help="of measurement")
    args = parser.parse_args()

    torch.manual_seed(1)
    device = torch.device(args.device)
    is_gpu = device.type == "cuda"
    layout = torch.channels_last if args.mode != "eager" else torch.contiguous_format
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    make = lambda net: net.to(device).to(memory_format=layout)
    g = make(generator(args.size, args.channels, args.width, args.latent))
    d = make(discriminator(args.size, args.channels, args.width))
    optimizers = [torch.optim.Adam(net.parameters(), lr=2e-4, betas=(0.5, 0.999)) for net in (g, d)]
    average = [p.detach().clone() for p in g.parameters()]
    images = torch.rand(8 * args.batch, args.channels, args.size, args.size, device=device) * 2 - 1
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=args.mode != "eager")

    def losses(real, fake):
        with autocast:
            return (d(real) - 1).square().mean() + d(fake).square().mean()

    def wish(fake):
        with autocast:
            return (d(fake) - 1).square().mean()

    def draw(z):
        with autocast:
            return g(z)

    if args.mode == "compiled":
        losses, wish, draw = map(torch.compile, (losses, wish, draw))

    def step():
        real = images[torch.randint(len(images), (args.batch,), device=device)].to(memory_format=layout)
        fake = draw(torch.randn(args.batch, args.latent, device=device))
        optimizers[1].zero_grad(set_to_none=True)
        (0.5 * losses(real, fake.detach())).backward()
        optimizers[1].step()
        for p in d.parameters():
            p.requires_grad_(False)
        optimizers[0].zero_grad(set_to_none=True)
        (0.5 * wish(fake)).backward()
        optimizers[0].step()
        for p in d.parameters():
            p.requires_grad_(True)
        with torch.no_grad():
            torch._foreach_lerp_(average, list(g.parameters()), 1e-3)

    def wait():
        if is_gpu:
            torch.cuda.synchronize()

    for _ in range(20 if is_gpu else 3):
        step()
    wait()
    speeds: list[float] = []
    end = time.perf_counter() + args.seconds
    steps = 25 if is_gpu else 5
    while time.perf_counter() < end or len(speeds) < 3:
        start = time.perf_counter()
        for _ in range(steps):
            step()
        wait()
        speeds.append(steps * args.batch / (time.perf_counter() - start))
    print(json.dumps({"torch": torch.__version__, "mode": args.mode, "images_per_second": statistics.median(speeds)}))


if __name__ == "__main__":
    main()
