"""The exponential function for the loops of the engine."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

_F = np.float32


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def exponential(x: Any) -> Any:
    """e^x for |x| <= 87, to 1e-7 (Cephes' expf): plain arithmetic, so that loops over it become vector instructions."""
    x = min(max(x, _F(-87.0)), _F(87.0))
    n = np.floor(x * _F(1.44269504) + _F(0.5))
    f = x - n * _F(0.6931471805599453)
    y = _F(1.9875691500e-4)
    y = y * f + _F(1.3981999507e-3)
    y = y * f + _F(8.3334519073e-3)
    y = y * f + _F(4.1665795894e-2)
    y = y * f + _F(1.6666665459e-1)
    y = y * f + _F(5.0000001201e-1)
    y = y * f * f + f + _F(1.0)
    return y * np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)
