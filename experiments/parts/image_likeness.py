"""How like two small pictures are, from 0 to 1 in each pixel."""

import numpy as np
from numpy.typing import NDArray

_SIDE = 8
_WINDOW = 7
_MOST_DECIBELS = 60.0
"""Of a picture that is the other one to rounding."""


def decibels(images: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the peak signal-to-noise ratio of pairs of pictures, in dB, at most 60.

    Args:
        images: Shape (pictures, 64).
        others: Of the same shape.
    """
    squared = ((images - others) ** 2).mean(axis=-1)
    return np.asarray(np.minimum(-10 * np.log10(np.maximum(squared, 1e-30)), _MOST_DECIBELS))


def similarity(images: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the structural similarity of pairs of pictures (Wang et al., 2004, Eq. 13), at most 1.

    It is the mean over all windows of 7×7 pixels, which count equally; variances are those of samples, and K₁ = 0.01,
    K₂ = 0.03, as scikit-image has it by default.

    Args:
        images: Shape (pictures, 64).
        others: Of the same shape.
    """
    a, b = _windows(images), _windows(others)
    mean_a, mean_b = a.mean(axis=-1), b.mean(axis=-1)
    variance_a, variance_b = a.var(axis=-1, ddof=1), b.var(axis=-1, ddof=1)
    products = (a - mean_a[..., None]) * (b - mean_b[..., None])
    covariance = products.sum(axis=-1) / (_WINDOW**2 - 1)
    c1, c2 = 0.01**2, 0.03**2
    alike = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    return np.asarray((alike / ((mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2))).mean(axis=-1))


def _windows(images: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each picture's windows, shape (pictures, windows, pixels)."""
    squares = images.reshape(-1, _SIDE, _SIDE)
    views = np.lib.stride_tricks.sliding_window_view(squares, (_WINDOW, _WINDOW), axis=(1, 2))
    return views.reshape(len(squares), -1, _WINDOW**2)
