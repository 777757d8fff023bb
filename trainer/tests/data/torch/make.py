"""Writes the files of this folder: small generators, saved by PyTorch, with pictures that it drew of them."""

import struct
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn


class Linear28(nn.Module):
    """dcgan28 with a dense first layer; every layer has the bias that PyTorch gives it by default."""

    def __init__(self, width, latent_dim, channels):
        super().__init__()
        self.width = width
        self.fc = nn.Linear(latent_dim, 2 * width * 49)
        self.bn0 = nn.BatchNorm2d(2 * width)
        self.up0 = nn.ConvTranspose2d(2 * width, width, 4, 2, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.up1 = nn.ConvTranspose2d(width, channels, 4, 2, 1)

    def forward(self, z):
        x = self.fc(z).reshape(-1, 2 * self.width, 7, 7)
        x = self.up0(torch.relu(self.bn0(x)))
        return torch.tanh(self.up1(torch.relu(self.bn1(x))))


class Sequential32(nn.Module):
    """dcgan32 as the DCGAN example of PyTorch writes it: transposed convolutions only, none with a bias."""

    def __init__(self, width, latent_dim, channels):
        super().__init__()
        layers, before = [], latent_dim
        for i, after in enumerate([4 * width, 2 * width, width]):
            stride, padding = (1, 0) if i == 0 else (2, 1)
            layers += [nn.ConvTranspose2d(before, after, 4, stride, padding, bias=False)]
            layers += [nn.BatchNorm2d(after), nn.ReLU(True)]
            before = after
        layers += [nn.ConvTranspose2d(before, channels, 4, 2, 1, bias=False), nn.Tanh()]
        self.main = nn.Sequential(*layers)

    def forward(self, z):
        return self.main(z[:, :, None, None])


def prepared(model, latent_dim):
    """Weights large enough to matter, and statistics that have seen data."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "bn" not in name and parameter.dim() > 1:
                parameter.normal_(0.0, 0.4)
            elif parameter.dim() == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
        model.train()
        for _ in range(20):
            model(torch.randn(64, latent_dim))
    return model.eval()


def write_pictures(path, model, latent_dim):
    """Two latents, then their pictures, as little-endian f32."""
    latents = torch.randn(2, latent_dim)
    with torch.no_grad():
        pictures = model.double()(latents.double()).float()
    values = latents.flatten().tolist() + pictures.flatten().tolist()
    path.write_bytes(struct.pack(f"<{len(values)}f", *values))
    model.float()


folder = Path(__file__).parent
torch.manual_seed(1)

model = prepared(Linear28(2, 3, 1), 3)
torch.save(model.state_dict(), folder / "linear28.pt")
torch.save(model.state_dict(), folder / "linear28-legacy.pt", _use_new_zipfile_serialization=False)
save_file(model.state_dict(), folder / "linear28.safetensors")
write_pictures(folder / "linear28.bin", model, 3)

model = prepared(Sequential32(2, 3, 1), 3)
state = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
torch.save({"epoch": 7, "generator": state}, folder / "sequential32.pth")
write_pictures(folder / "sequential32.bin", model, 3)
print("written with torch", torch.__version__, "and Python", sys.version.split()[0])
