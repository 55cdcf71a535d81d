"""Points in their slots."""

from collections import Counter

import numpy as np
import pytest

from qiskit_fedqml.backends.packing.slots import filled

CASES = [
    ([(32, 832)], [range(27)], 27),
    ([(1, 0)], [range(5)], 5),
    ([(3, 7)], [[0]], 1),
    ([(4, 9), (2, 0), (5, 11)], [range(6)] * 3, 6),
    ([(4, 9), (2, 5), (5, 11)], [[0, 3], [1, 4], [2]], 5),
    ([(8, 3), (8, 3)], [[1], [1]], 2),
]


@pytest.mark.parametrize(("sizes", "blocks", "num_blocks"), CASES)
@pytest.mark.parametrize("offset", [0, 1, 100])
def test_each_point_has_a_slot_of_its_own(sizes, blocks, num_blocks, offset):
    slots = filled(sizes, blocks, num_blocks, offset)
    of_values, of_pairs = [tuple(slot) for slot in slots.values], [tuple(slot) for slot in slots.pairs]
    taken = [*of_values, *of_pairs, *((row + 1, block) for row, block in of_pairs)]
    assert len(set(taken)) == len(taken) == sum(values + 2 * pairs for values, pairs in sizes)
    assert max(row for row, _ in taken) == slots.num_rows - 1
    owners_of_values = np.repeat(np.arange(len(sizes)), [values for values, _ in sizes])
    owners_of_pairs = np.repeat(np.arange(len(sizes)), [pairs for _, pairs in sizes])
    for (_, block), owner in zip([*of_values, *of_pairs], [*owners_of_values, *owners_of_pairs], strict=True):
        assert block in list(blocks[owner])


def test_no_row_more_than_needed():
    assert filled([(32, 832)], [range(27)], 27).num_rows == 63  # 32 samples of 53 points, 62.8 rows
    assert filled([(2, 0)], [range(27)], 27).num_rows == 1
    assert filled([(6, 160)] * 5, [range(26)] * 5, 26).num_rows <= 5 * 326 / 26 + 2


def test_samples_rotate_over_blocks():
    blocks = [
        Counter(int(filled([(4, 0)], [range(4)], 4, offset).values[k, 1]) for offset in range(8)) for k in range(4)
    ]
    assert all(of == Counter(dict.fromkeys(range(4), 2)) for of in blocks)
    assert len({int(filled([(1, 3)], [range(9)], 9, offset).pairs[0, 1]) for offset in range(9)}) == 9
