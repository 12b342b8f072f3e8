"""The paper's latents: the VAE of stable-diffusion-3-medium through diffusers, frozen, one frame to a grid and back.

The weights are not shipped and cannot be fetched everywhere: their page asks for a licence to be accepted, and a
machine without a network has to be given a folder. All that is held here is tested on a small, randomly
initialised network of the same class; how good the real latents are is not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

HUB_ID = "stabilityai/stable-diffusion-3-medium-diffusers"
SUBFOLDER = "vae"  # where a whole pipeline keeps its autoencoder


class Sd3Error(ValueError):
    """The library or the weights of the autoencoder are missing, or are not what they should be."""


class Sd3Autoencoder(nn.Module):
    """Frames (N, 3, H, W) in [-1, 1] to latents (N, C, H/8, W/8) of about unit variance and back.

    ``C`` is 16 for stable-diffusion-3. The latents are the encoder's mean, less ``shift_factor``, times
    ``scaling_factor``, both from the network's own configuration; :meth:`decode` undoes that. Frozen: no parameter
    asks for a gradient and :meth:`train` leaves it in evaluation mode; gradients do flow through to what goes in.

    Args:
        vae: a ``diffusers.AutoencoderKL``; :meth:`load` finds one.
    """

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.vae = vae.requires_grad_(False).eval()
        self.scale = float(vae.config.scaling_factor)
        self.shift = float(vae.config.shift_factor or 0.0)
        self.channels = int(vae.config.latent_channels)
        self.downsampling = 2 ** (len(vae.config.block_out_channels) - 1)

    @classmethod
    def load(
        cls,
        source: str | Path = HUB_ID,
        local_files_only: bool = False,
        dtype: torch.dtype = torch.float32,
    ) -> Sd3Autoencoder:
        """The autoencoder of a local folder or of a hub id.

        A folder holds ``config.json`` and safetensors weights, itself or in its subfolder ``vae``. What is no folder
        and reads ``owner/name`` is a hub id. Weights in any other file format are never opened.

        Args:
            local_files_only: do not ask the network; a hub id is then found in the cache alone.

        Raises:
            Sd3Error: diffusers is not installed, no such folder, no safetensors weights there, weights that do not
                fill the network, or a hub that cannot be reached or refuses.
        """
        try:
            from diffusers import AutoencoderKL
        except ImportError:
            raise Sd3Error(
                "the stable-diffusion-3 autoencoder needs the library diffusers: pip install 'worldsim[sd3]'"
            ) from None
        folder = _folder(source)
        where: dict[str, Any] = {"subfolder": SUBFOLDER} if folder is None else {}
        try:
            vae, report = AutoencoderKL.from_pretrained(
                str(source) if folder is None else str(folder),
                use_safetensors=True,  # other formats can run code when they are opened
                local_files_only=local_files_only or folder is not None,
                torch_dtype=dtype,
                output_loading_info=True,
                **where,
            )
        except Exception as error:  # of the hub's, of several HTTP clients, of safetensors: no common class
            hint = (
                "is it a whole AutoencoderKL?"
                if folder
                else "accept its licence, log in, or name a local folder"
            )
            raise Sd3Error(
                f"cannot load an autoencoder from {source}: {_first_line(error)} ({hint})"
            ) from error
        if report["missing_keys"]:
            raise Sd3Error(
                f"the weights in {source} do not fill the network: {len(report['missing_keys'])} tensors are missing, "
                f"{report['missing_keys'][0]} among them"
            )
        return cls(vae)

    def train(self, mode: bool = True) -> Sd3Autoencoder:
        """Frozen: stays in evaluation mode, whatever the model around it does."""
        super().train(False)
        return self

    def encode(self, frames: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] to latents (N, C, H/8, W/8), about unit variance.

        Raises:
            ValueError: the height or width is no multiple of the downsampling.
        """
        if frames.shape[-1] % self.downsampling or frames.shape[-2] % self.downsampling:
            raise ValueError(
                f"the autoencoder needs frames in multiples of {self.downsampling} pixels, found {tuple(frames.shape)}"
            )
        raw = cast(Tensor, self.vae.encode(frames.to(self.vae.dtype)).latent_dist.mode())
        return ((raw - self.shift) * self.scale).to(frames.dtype)  # (N, C, H/8, W/8)

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (N, C, h, w) to frames (N, 3, 8h, 8w), about [-1, 1]."""
        raw = (latents / self.scale + self.shift).to(self.vae.dtype)
        return cast(Tensor, self.vae.decode(raw).sample).to(latents.dtype)


def _folder(source: str | Path) -> Path | None:
    """The local folder that holds the configuration, or None for a hub id."""
    path = Path(source).expanduser()
    if not path.is_dir():
        words = str(source)
        if isinstance(source, str) and words.count("/") == 1 and words[0] not in "./~" and words[-1] != "/":
            return None
        raise Sd3Error(f"no folder {source}: expected a folder with an AutoencoderKL, or a hub id owner/name")
    folder = path / SUBFOLDER if (path / SUBFOLDER).is_dir() else path
    if not (folder / "config.json").is_file():
        raise Sd3Error(f"no config.json in {folder}: expected the folder of an AutoencoderKL")
    if not any(folder.glob("*.safetensors")):
        raise Sd3Error(
            f"no safetensors weights in {folder}: other formats are not opened; save it with safe_serialization=True"
        )
    return folder


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
