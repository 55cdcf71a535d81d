"""scikit-learn's handwritten digits."""

import numpy as np

from qiskit_fedqml.data.datasets import Dataset, Split, check_known, choose
from qiskit_fedqml.data.digit_pixels import digit_pixels
from qiskit_fedqml.data.splitting import random_split


def digits(classes: tuple[int, ...], test_fraction: float, rng: np.random.Generator) -> Dataset:
    """Load scikit-learn's handwritten digits as features: 8×8 pixels from 0 to 1, shape (examples, 64).

    Args:
        classes: The digits to take.
        test_fraction: Share of the examples that becomes the test data.
        rng: Draws the split.

    Raises:
        DataError: There is no such digit, or the split leaves one without training or test examples.
    """
    check_known(classes, 10)
    pixels, targets = digit_pixels()
    chosen, labels = choose(targets, classes)
    features = (pixels[chosen] / 16.0).astype(np.float32)
    parts = random_split(len(labels), test_fraction, rng)
    return Dataset(tuple(str(c) for c in classes), *(Split(features[part], labels[part]) for part in parts))
