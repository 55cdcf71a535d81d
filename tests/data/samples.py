"""Small data sets on disk, for the tests of what reads them."""

import numpy as np
from PIL import Image


def save_npz(path, **replaced):
    """Write a sound NPZ file of six training and three test images, with arrays replaced (None leaves one out)."""
    rng = np.random.default_rng(0)
    arrays = {
        "x_train": rng.integers(0, 256, (6, 5, 4, 3), dtype=np.uint8),
        "y_train": np.array([0, 7, 0, 7, 3, 3]),
        "x_test": rng.integers(0, 256, (3, 5, 4, 3), dtype=np.uint8),
        "y_test": np.array([7, 0, 3]),
        **replaced,
    }
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return arrays


def save_images(root, names, count, colour=0):
    """Write a folder of images for each name; no two images are equal."""
    for label, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (6, 8), (100 * label, colour, i)).save(root / name / f"{i}.png")
