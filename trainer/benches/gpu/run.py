#!/usr/bin/env python3
"""Training speed of `trainer train` beside PyTorch's, on the same device, in one run.

    python3 trainer/benches/gpu/run.py                        # DCGAN 64x64x3, width 64, batch 128, on the GPU
    python3 trainer/benches/gpu/run.py --precision bf16       # products in bf16, as PyTorch's autocast has them
    python3 trainer/benches/gpu/run.py --device cpu           # DCGAN 28x28x1, width 32, batch 64, on the processor

Needs a release build of the trainer (`cargo build --release -p pocketgan-trainer`, with `--features cuda` for the GPU) and
`pip install torch`. PyTorch computes in f32 (TF32 on a GPU) in mode eager and with autocast to bf16 in the others; the row to compare
with has the same precision. Rounds alternate, so that a slower minute slows both. Of the trainer two lengths of a run are timed, and their
difference counts: loading, compiling of kernels and the last samples are the same in both.
"""

import argparse
import json
import pathlib
import random
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import zlib

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]


def png(path: pathlib.Path, size: int, channels: int, pixels: bytes) -> None:
    """A PNG of raw pixels."""
    rows = b"".join(b"\0" + pixels[y * size * channels:(y + 1) * size * channels] for y in range(size))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", size, size, 8, {1: 0, 3: 2}[channels], 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b""))


def images(folder: pathlib.Path, size: int, channels: int) -> None:
    """Noise: what pixels show makes no step faster."""
    folder.mkdir()
    source = random.Random(1)
    for i in range(1024):
        png(folder / f"{i:04}.png", size, channels, source.randbytes(size * size * channels))


def ours(args, data: pathlib.Path, steps: int) -> float:
    """Seconds of a run."""
    out = pathlib.Path(tempfile.mkdtemp())
    command = [args.trainer, "train", "--dataset", "folder", "--data-dir", data, "--size", args.size, "--channels", args.channels]
    command += ["--width", args.width, "--latent-dim", args.latent, "--batch-size", args.batch, "--discriminator-norm", "batch"]
    command += ["--steps", steps, "--sample-every", 0, "--checkpoint-every", 0, "--watch-every", 0]
    command += ["--set", f"training.precision={args.precision}"]
    command += ["--device", args.device, "--json", "--out", out, *args.extra]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    shutil.rmtree(out)
    if result.returncode:
        sys.exit(f"the trainer failed:\n{result.stderr}")
    return json.loads(result.stdout.splitlines()[-1])["seconds"]


def torchs(args, mode: str) -> float:
    command = [sys.executable, HERE / "dcgan.py", "--mode", mode, "--device", args.device, "--size", args.size]
    command += ["--channels", args.channels, "--width", args.width, "--latent", args.latent, "--batch", args.batch]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if result.returncode:
        print(f"PyTorch {mode} failed: {result.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return float("nan")
    return json.loads(result.stdout.splitlines()[-1])["images_per_second"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--trainer", default=ROOT / "target/release/trainer", type=pathlib.Path)
    parser.add_argument("--precision", default="f32", choices=["f32", "bf16"], help="of the trainer's products")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=0, help="of the shorter run; the longer has three times as many")
    parser.add_argument("--modes", default="", help="of PyTorch: eager,autocast,compiled")
    parser.add_argument("extra", nargs="*", help="after --: more options of `trainer train`")
    args = parser.parse_args()
    shape = {"cuda": (64, 3, 64, 100, 128), "cpu": (28, 1, 32, 64, 64)}[args.device]
    args.size, args.channels, args.width, args.latent, args.batch = shape
    steps = args.steps or {"cuda": 300, "cpu": 150}[args.device]
    on_cpu = {"f32": "eager", "bf16": "eager,autocast"}[args.precision]
    modes = (args.modes or {"cuda": "eager,autocast,compiled", "cpu": on_cpu}[args.device]).split(",")
    if not args.trainer.exists():
        sys.exit(f"{args.trainer} is missing: cargo build --release -p pocketgan-trainer")

    speeds: dict[str, list[float]] = {"pocketgan": []} | {f"PyTorch {mode}": [] for mode in modes}
    with tempfile.TemporaryDirectory() as folder:
        data = pathlib.Path(folder) / "images"
        images(data, args.size, args.channels)
        for _ in range(args.rounds):
            seconds = ours(args, data, 3 * steps) - ours(args, data, steps)
            speeds["pocketgan"].append(2 * steps * args.batch / seconds)
            for mode in modes:
                speeds[f"PyTorch {mode}"].append(torchs(args, mode))
    mine = statistics.median(speeds["pocketgan"])
    shape = f"{args.size}x{args.size}x{args.channels}, width {args.width}, batch {args.batch}"
    print(f"DCGAN {shape}, {args.device}, pocketgan in {args.precision}")
    for name, values in speeds.items():
        middle = statistics.median(values)
        print(f"{name:18} {middle:10.0f} images/s  ({min(values):.0f} to {max(values):.0f})  pocketgan / this {mine / middle:.2f}")
    print(json.dumps(speeds))


if __name__ == "__main__":
    main()
