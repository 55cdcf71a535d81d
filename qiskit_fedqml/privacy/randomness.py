"""The randomness of private runs: a cryptographic generator, or for studies one that derives from the run's seed."""

import secrets
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.config.privacy import PrivacyConfig
from qiskit_fedqml.privacy.packages import import_package
from qiskit_fedqml.seeds import derive_seed, numpy_generator

Numbers = NDArray[np.float64]


class Randomness(Protocol):
    """Draws samples and noise."""

    def uniform(self, size: int) -> Numbers:
        """Return so many uniform numbers in [0, 1)."""
        ...

    def normal(self, size: int) -> Numbers:
        """Return so many numbers of the standard normal distribution."""
        ...


class SystemRandomness:
    """AES-128 in counter mode, with a key that the operating system's generator draws for each object.

    A normal number is the sum of four, halved: the lowest bits of floating-point noise, which one alone would reveal,
    then say nothing of what is below it (Holohan and Braghin, 2021, arXiv:2107.10138).

    Raises:
        ConfigurationError: The package randomgen is not installed.
    """

    def __init__(self) -> None:
        generator = import_package("randomgen").AESCounter(key=secrets.randbits(128))
        self._generator = np.random.Generator(generator)

    def __reduce__(self) -> tuple[type["SystemRandomness"], tuple[()]]:
        """Let another process make one with a key of its own."""
        return SystemRandomness, ()

    def uniform(self, size: int) -> Numbers:
        """Return so many uniform numbers in [0, 1)."""
        return self._generator.random(size)

    def normal(self, size: int) -> Numbers:
        """Return so many numbers of the standard normal distribution."""
        total = self._generator.standard_normal(size)
        for _ in range(3):
            total += self._generator.standard_normal(size)
        total *= 0.5
        return total


class SimulatedRandomness:
    """NumPy's generator, with a seed that derives from the run's: whoever knows that can take the noise away.

    Args:
        seed: The run's seed.
        purpose: What is drawn.
        server_step: The server step, from 1.
        client: The client that draws; 0 for the server.
    """

    def __init__(self, seed: int, purpose: str, server_step: int, client: int = 0) -> None:
        self._generator = numpy_generator(derive_seed(seed, f"privacy: {purpose}", server_step, client))

    def uniform(self, size: int) -> Numbers:
        """Return so many uniform numbers in [0, 1)."""
        return self._generator.random(size)

    def normal(self, size: int) -> Numbers:
        """Return so many numbers of the standard normal distribution."""
        return self._generator.standard_normal(size)


def open_randomness(config: PrivacyConfig, seed: int, purpose: str, server_step: int, client: int = 0) -> Randomness:
    """Return the randomness of one release, as ``privacy.randomness`` says.

    Args:
        config: The `privacy` section.
        seed: The run's seed.
        purpose: What is drawn.
        server_step: The server step, from 1.
        client: The client that draws; 0 for the server.

    Raises:
        ConfigurationError: The package randomgen is not installed.
    """
    if config.randomness == "simulated":
        return SimulatedRandomness(seed, purpose, server_step, client)
    return SystemRandomness()
