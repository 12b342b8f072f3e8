"""What every denoiser takes and gives: frames at levels of their own, their control, and what memory adds."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor


class DenoiserError(ValueError):
    """A denoiser was asked for something that it was not built for."""


class Denoiser(Protocol):
    """A network over the frames of one temporal axis; prepended memory frames are frames like the others.

    Frames are counted from the end of the axis, so that memory put before a window moves nothing in it.
    """

    channels: int  # of the latents, C
    control_dim: int  # length of a frame's control vector, K
    beside_channels: int  # channels that may be put beside the latents, E; 0 for none
    memory_width: int  # width of the tokens of cross attention, D; 0 for none

    def forward(
        self,
        z: Tensor,
        level: Tensor,
        control: Tensor,
        *,
        beside: Tensor | None = None,
        memory: Tensor | None = None,
        valid: Tensor | None = None,
        memory_valid: Tensor | None = None,
    ) -> Tensor:
        """Denoise all frames at once.

        Args:
            z: (B, T, C, h, w); level: (B, T) in [0, 1], each frame's own noise level.
            control: (B, T, K), what steers each frame: the action that led to it.
            beside: (B, T, E, h, w), channels put beside the latents; None is the same as zeros.
            memory: (B, N, D), tokens for cross attention; None or N = 0 leaves it out.
            valid: (B, T) bool, frames that exist; the others are seen by nobody. Default all.
            memory_valid: (B, N) bool, tokens that exist. Default all.

        Returns:
            the network's raw output (B, T, C, h, w); the caller takes it for x0, eps or v.

        Raises:
            DenoiserError: a shape that this denoiser was not built for.
        """
        ...

    def __call__(self, z: Tensor, level: Tensor, control: Tensor, **extra: Any) -> Any:
        """:meth:`forward`, as torch calls it."""
        ...


def check_inputs(
    denoiser: Denoiser,
    z: Tensor,
    level: Tensor,
    control: Tensor,
    beside: Tensor | None,
    memory: Tensor | None,
) -> None:
    """Refuse what does not fit ``denoiser``; the arguments are those of :meth:`Denoiser.forward`.

    Raises:
        DenoiserError: one sentence with what was expected, what was found and what to do.
    """
    if z.dim() != 5 or z.shape[2] != denoiser.channels:
        raise DenoiserError(
            f"expected latents (B, T, {denoiser.channels}, h, w), found {tuple(z.shape)}; "
            "build the denoiser with the autoencoder's number of channels"
        )
    if level.shape != z.shape[:2]:
        raise DenoiserError(
            f"expected one noise level a frame, {tuple(z.shape[:2])}, found {tuple(level.shape)}; "
            "expand a common level over the frames"
        )
    if control.shape != (*z.shape[:2], denoiser.control_dim):
        raise DenoiserError(
            f"expected control {(*z.shape[:2], denoiser.control_dim)}, found {tuple(control.shape)}; "
            "give each frame, of memory too, a vector of the length the denoiser was built with"
        )
    size = (*z.shape[:2], denoiser.beside_channels, *z.shape[3:])
    if beside is not None and beside.shape != size:
        raise DenoiserError(
            f"expected channels beside the latents {size}, found {tuple(beside.shape)}; "
            "build the denoiser with the way's beside_channels"
        )
    if memory is not None and memory.shape[2] != denoiser.memory_width:
        raise DenoiserError(
            f"expected memory tokens of width {denoiser.memory_width}, found {memory.shape[2]}; "
            "build the denoiser with the way's memory_width"
        )
