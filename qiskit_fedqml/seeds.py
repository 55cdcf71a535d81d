"""All randomness of a run, derived from one root seed.

No global generator is used anywhere: each random decision has a name (its purpose) and a place (round, client, step),
and draws from a generator of its own. So a client's draws do not depend on which clients ran before it, nor on where it
ran.
"""

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def derive_seed(root: int, purpose: str, round: int = 0, client: int = 0, step: int = 0) -> int:
    """Derive the seed of one random decision.

    Args:
        root: The run's seed, any integer.
        purpose: What the randomness is for, such as ``"dropout"``.
        round: The round it belongs to, 0 if none.
        client: The client it belongs to, 0 if none.
        step: The step it belongs to, 0 if none.

    Returns:
        A seed in [0, 2**63), a BLAKE2b hash of all the arguments.
    """
    text = f"{root}/{purpose}/{round}/{client}/{step}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def numpy_generator(seed: int) -> np.random.Generator:
    """Return NumPy's generator for a derived seed."""
    return np.random.Generator(np.random.PCG64(seed))


def torch_generator(seed: int, device: "torch.device | str" = "cpu") -> "torch.Generator":
    """Return a torch generator on ``device`` for a derived seed."""
    import torch  # here, as it takes long to import: whoever reads results needs no tensors

    return torch.Generator(device=device).manual_seed(seed)
