"""The pixels of scikit-learn's handwritten digits, read from its package without importing it."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def digit_pixels() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return what ``sklearn.datasets.load_digits`` gives: pixels from 0 to 16, shape (1797, 64), and the digits.

    To import scikit-learn takes longer than many a run on its digits, so its file is read where it lies in the package;
    should it not be there, scikit-learn is asked.
    """
    package = find_spec("sklearn")
    for folder in (package.submodule_search_locations or ()) if package else ():
        file = Path(folder, "datasets", "data", "digits.csv.gz")
        if file.is_file():
            table = np.loadtxt(file, delimiter=",")
            return table[:, :-1], table[:, -1].astype(np.int64)
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    return pixels, digits
