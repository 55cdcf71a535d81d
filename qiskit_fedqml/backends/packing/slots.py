"""Which point runs on which block, and in which row of the job.

A row is one execution of all blocks. Both signs of a shift are on one block, in rows next to each other, so that the
block's bias and slow drifts cancel in the derivative.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Slots:
    """Rows and blocks of points.

    Args:
        num_rows: Number of rows.
        values: Row and block of each sample's own point, shape (samples, 2).
        pairs: Row and block of each pair's first point, shape (pairs, 2); the second one is in the next row.
    """

    num_rows: int
    values: NDArray[np.intp]
    pairs: NDArray[np.intp]


def filled(
    sizes: Sequence[tuple[int, int]], blocks: Sequence[Sequence[int]], num_blocks: int, offset: int = 0
) -> Slots:
    """Fill blocks evenly, in as few rows as possible.

    Args:
        sizes: Number of samples and of pairs of each client that asks.
        blocks: The blocks that each of them may use, at least one.
        num_blocks: Number of all blocks.
        offset: Where the first point is put; another offset at each step lets samples rotate over the blocks.

    Returns:
        The slots, one client's after another's.
    """
    heights = np.zeros(num_blocks, dtype=np.intp)
    pairs, values, placed_before = [], [], 0
    for (_, num_pairs), own in zip(sizes, blocks, strict=True):
        turned = _turned(own, offset + placed_before)  # where the last client's pairs ended
        placed_before += num_pairs
        number = np.arange(num_pairs)
        block = turned[number % len(turned)]
        pairs.append(np.stack([heights[block] + 2 * (number // len(turned)), block], axis=1))
        heights += 2 * np.bincount(block, minlength=num_blocks)
    for (num_samples, _), own in zip(sizes, blocks, strict=True):
        turned, placed = _turned(own, offset), np.zeros((num_samples, 2), dtype=np.intp)
        for sample in range(num_samples):
            block = turned[np.argmin(heights[turned])]
            placed[sample] = heights[block], block
            heights[block] += 1
        values.append(placed)
    return Slots(int(heights.max()), np.concatenate(values), np.concatenate(pairs))


def _turned(own: Sequence[int], offset: int) -> NDArray[np.intp]:
    return np.roll(np.asarray(own, dtype=np.intp), -(offset % len(own)))
