"""The loops of the sweeps, compiled by Numba.

A state is a flat array of the real numbers (rows, copies, samples). A row is a component: the real or imaginary part
of an amplitude, or the expectation of a Pauli string. Samples are some of a batch's, and copies are several states
that the same instructions act on. An instruction acts on the bits of a row's index that belong to its qubits, on
``blocks`` of rows: in a block that starts at ``base``, offset ``d`` means the ``run`` rows from ``base + d`` on, which
differ in lower bits only and lie side by side.

Every sum runs over rows, in their order, for each sample on its own, and products are rounded before they are added:
so how many samples are swept together, vector registers and threads change no bit.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.circuits.arrays import Array
from qiskit_fedqml.circuits.compiling import compiled, compiled_in_place, inlined
from qiskit_fedqml.simulation import narrow, wide
from qiskit_fedqml.simulation.lanes import LANES, boundary, load, splat

KIND, ANGLE, SHARED, SLOT, BLOCKS, NUM_BLOCKS, RUN, ENTRIES, NUM_ENTRIES, TRANSPOSED, NUM_TRANSPOSED = range(11)
"""Columns of a table of instructions, a row each.

KIND is ROTATION or FIXED; ANGLE a rotation's row of cosines and sines, and SHARED whether it is the same for all
samples; SLOT where the state or observable just after it is kept, −1 for nowhere; BLOCKS and NUM_BLOCKS are the
instruction's part of the starts of blocks, and RUN the rows in a run; ENTRIES and NUM_ENTRIES its part of the entries
(pairs of rows for a rotation, the matrix for a fixed one), TRANSPOSED and NUM_TRANSPOSED those of the transpose.
"""
ROTATION, FIXED = 0, 1


@compiled
def turns(angles, factor, columns):
    """Return cosines and sines of ``factor`` times angles, (angles, columns) laid flat, and which are shared by all.

    The angles have shape (samples, angles). Of one that all samples share, the functions are computed once. Columns
    beyond the samples are filled too.
    """
    samples, count = angles.shape
    cos, sin = np.empty(count * columns), np.empty(count * columns)
    shared = np.ones(count, dtype=np.bool_)
    for g in range(count):
        for k in range(samples):
            if angles[k, g] != angles[0, g]:
                shared[g] = False
                break
        for k in range(columns):
            if k == 0 or (k < samples and not shared[g]):
                angle = factor * angles[k, g]
                c, s = np.cos(angle), np.sin(angle)
            cos[g * columns + k], sin[g * columns + k] = c, s
    return cos, sin, shared


@inlined
def _part(ops, n, back):
    """Return an instruction's part of the blocks, its run, and its part of the entries, or of its transpose's."""
    first, count = ops[n, ENTRIES], ops[n, NUM_ENTRIES]
    if back:
        first, count = ops[n, TRANSPOSED], ops[n, NUM_TRANSPOSED]
    return ops[n, BLOCKS], ops[n, BLOCKS] + ops[n, NUM_BLOCKS], ops[n, RUN], first, first + count


@inlined
def _turn(shared, cos, sin, own):
    """Return the cosines and sines of a rotation, of eight samples."""
    if shared:
        return splat(cos[own]), splat(sin[own])
    return load(cos, own), load(sin, own)


@inlined
def _apply(n, back, ops, blocks, outputs, inputs, factors, cos, sin, own, room, x, y, copies, samples):
    """Apply an instruction, or its transpose, to the state at ``x``; return where it is now, and where is room now.

    ``own`` is where the instruction's cosines and sines are.
    """
    part = _part(ops, n, back)
    if ops[n, KIND] == FIXED:
        if samples == LANES:
            wide.multiply(room, x, y, part, blocks, outputs, inputs, factors, copies)
        else:
            narrow.multiply(room, x, y, part, blocks, outputs, inputs, factors, copies * samples)
        return y, x
    if samples == LANES:
        c, s = _turn(ops[n, SHARED], cos, sin, own)
        wide.rotate(room, x, part, blocks, outputs, inputs, copies, c, s)
    elif ops[n, SHARED]:
        narrow.rotate(room, x, part, blocks, outputs, inputs, copies * samples, cos[own], sin[own])
    else:
        narrow.rotate_each(room, x, part, blocks, outputs, inputs, copies, samples, cos, sin, own)
    return x, y


@inlined
def _fill(room, x, state, start, step, samples):
    """Write a state, of which each ``step``-th number from ``start`` on is one row's, to ``x`` for several samples."""
    for r in range(len(state) // step):
        to, number = np.uint64(x + r * samples), state[start + r * step]
        for k in range(np.uint64(samples)):
            room[to + k] = number


@inlined
def _copy(source, x, target, y, count):
    """Copy numbers from ``source[x:]`` to ``target[y:]``; unsigned indices, for the reason that ``narrow`` says."""
    start, to = np.uint64(x), np.uint64(y)
    for i in range(np.uint64(count)):
        target[to + i] = source[start + i]


@compiled_in_place
def _forward(last, ops, tables, angles, room, rows, samples, at, kept):
    """Apply the first instructions; keep the state in ``kept`` after each with a slot, if there is room at all."""
    (blocks, outputs, inputs, factors), (cos, sin, columns) = tables, angles
    size = rows * samples
    x, first = boundary(room), boundary(kept)
    y = x + size
    for n in range(last):
        own = ops[n, ANGLE] * columns + at
        x, y = _apply(n, False, ops, blocks, outputs, inputs, factors, cos, sin, own, room, x, y, 1, samples)
        if len(kept) and ops[n, SLOT] >= 0:
            _copy(room, x, kept, first + ops[n, SLOT] * size, size)
    return x, y


@compiled_in_place
def _backward_and_contract(last, ops, tables, angles, states, room, rows, copies, samples, to, stride, odd, even):
    """Pull observables of each sample back through the first instructions, the last one first.

    At each rotation with a slot they are contracted with the state kept after it in ``states``. If none is kept, copy 0
    is the state itself, which the transposed instructions, being orthogonal, take back too. The sums of an angle's
    first observable are written from ``to + angle · stride`` on.
    """
    (blocks, outputs, inputs, factors), (cos, sin, columns) = tables, angles
    at, both = to % columns, len(even) > 0
    x, first = boundary(room), boundary(states)
    y = x + rows * copies * samples
    skip = 0 if len(states) else 1
    for n in range(last - 1, -1, -1):
        own = ops[n, ANGLE] * columns + at
        if ops[n, SLOT] >= 0:
            part, here = _part(ops, n, False), to + ops[n, ANGLE] * stride
            observables = room, x, copies, skip
            pairs, sums = (part, blocks, outputs, inputs), (both, odd, even, here, columns)
            state = (room, x, copies) if skip else (states, first + ops[n, SLOT] * rows * samples, 1)
            if samples == LANES:
                turn = _turn(ops[n, SHARED], cos, sin, own)
                wide.contract_and_unrotate(*state, *observables, *pairs, *turn, *sums)
                continue
            narrow.contract_each(*state, *observables, samples, *pairs, *sums)
        x, y = _apply(n, True, ops, blocks, outputs, inputs, factors, cos, sin, own, room, x, y, copies, samples)


@compiled_in_place
def _forward_and_contract(first, ops, tables, angles, room, x, y, samples, at, kept, count, odd, even):
    """Apply the last instructions to a state, and contract it after each rotation with the observables kept for it."""
    (blocks, outputs, inputs, factors), (cos, sin, columns), (ends, terms) = tables, angles, kept
    both = len(even) > 0
    for n in range(first, len(ops)):
        own = ops[n, ANGLE] * columns + at
        x, y = _apply(n, False, ops, blocks, outputs, inputs, factors, cos, sin, own, room, x, y, 1, samples)
        slot = ops[n, SLOT]
        for j in range(count if slot >= 0 else 0):
            begin, end, to = ends[slot, j, 0], ends[slot, j, 1], (ops[n, ANGLE] * count + j) * columns + at
            if samples == LANES:
                wide.contract(room, x, begin, end, terms, both, odd, even, to)
            else:
                narrow.contract(room, x, samples, begin, end, terms, both, odd, even, to)


@inlined
def _apply_paulis(room, x, rows, target, y, copies, samples, paulis):
    """Copy a state vector to copy 0 of ``target[y:]``, and write Pauli terms applied to it to the other copies.

    Term t, for copy ``1 + operators[t]``, flips the bits of ``xs[t]``, gives a sign for each set bit of ``zs[t]``, and
    a factor i for each Y.
    """
    xs, zs, num_ys, coefficients, operators = paulis
    dimension, width = rows // 2, copies * samples
    for r in range(rows):
        _copy(room, x + r * samples, target, y + r * width, samples)
    for r in range(rows):
        for k in range(np.uint64(y + r * width + samples), np.uint64(y + (r + 1) * width)):
            target[k] = 0.0
    for t in range(len(coefficients)):
        copy = y + (1 + operators[t]) * samples
        for i in range(dimension):
            parity = i & zs[t]
            for shift in (16, 8, 4, 2, 1):
                parity ^= parity >> shift
            # The factor i^num_ys turns (re, im); an odd power swaps them.
            quarter = (num_ys[t] + 2 * (parity & 1)) % 4
            of_re = coefficients[t] if quarter in (0, 1) else -coefficients[t]
            re, im = np.uint64(x + i * samples), np.uint64(x + (dimension + i) * samples)
            to = i ^ xs[t]
            to_re, to_im = np.uint64(to * width + copy), np.uint64((dimension + to) * width + copy)
            of_im = of_re
            if quarter % 2:
                re, im, of_re = im, re, -of_re
            for k in range(np.uint64(samples)):
                target[to_re + k] += of_re * room[re + k]
                target[to_im + k] += of_im * room[im + k]


@compiled_in_place
def sweep_states(first, last, lanes, ops, tables, angles, initial, paulis, count, rooms, values, odd):
    """Sweep state vectors of the samples from ``first`` to ``last``, ``lanes`` at once, forward and back.

    Args:
        first: The first sample's column of cosines and sines.
        last: The column behind the last one's.
        lanes: How many are swept together.
        ops: Instructions.
        tables: Starts of blocks, outputs, inputs and factors of entries.
        angles: Cosines and sines, (angles, columns) laid flat, and the number of columns.
        initial: The state of a sample in front, shape (rows,).
        paulis: The observables' terms, as ``_apply_paulis`` reads them.
        count: Number of observables.
        rooms: Room for two states, for two states with all observables, and for nothing. What is in a room begins at
            its ``boundary``, so each has ``SLACK`` numbers more; no index is checked.
        values: Zeros, (observables, columns) laid flat; filled in.
        odd: Zeros, (angles, observables, columns) laid flat, filled in; or empty, for values only.
    """
    rows, copies, columns = len(initial), 1 + count, angles[2]
    room, all_copies, none = rooms
    y = boundary(all_copies)
    for at in range(first, last, lanes):
        samples = min(lanes, last - at)
        _fill(room, boundary(room), initial, 0, 1, samples)
        x, _ = _forward(len(ops), ops, tables, angles, room, rows, samples, at, none)
        _apply_paulis(room, x, rows, all_copies, y, copies, samples, paulis)
        if samples == LANES:
            wide.overlaps(all_copies, y, rows, copies, values, at, columns)
        else:
            narrow.overlaps(all_copies, y, rows, copies, samples, values, at, columns)
        if len(odd):
            observables = none, all_copies, rows, copies, samples, at, count * columns
            _backward_and_contract(len(ops), ops, tables, angles, *observables, odd, none)


@compiled_in_place
def sweep_paulis(
    first, last, lanes, ops, split, slots, tables, angles, initial, at_split, kept, rooms, values, odd, even
):
    """Sweep Pauli vectors of the samples from ``first`` to ``last``, ``lanes`` at once, forward and back.

    Arguments are those of ``sweep_states``, and these. ``split``: behind this instruction no angle differs between
    samples. ``slots``: rotations before it whose derivatives are wanted. ``at_split`` and ``kept``: the observables as
    ``pulled_back`` has them, flat. ``rooms``: for two states, and for one after each rotation in a slot. ``even``:
    zeros as ``odd``, filled in too, or empty.
    """
    rows, columns = len(initial), angles[2]
    count = len(at_split) // rows
    room, states = rooms
    for at in range(first, last, lanes):
        samples = min(lanes, last - at)
        _fill(room, boundary(room), initial, 0, 1, samples)
        x, y = _forward(split, ops, tables, angles, room, rows, samples, at, states)
        if samples == LANES:
            wide.expectations(room, x, at_split, count, values, at, columns)
        else:
            narrow.expectations(room, x, samples, at_split, count, values, at, columns)
        if len(kept[0]):
            _forward_and_contract(split, ops, tables, angles, room, x, y, samples, at, kept, count, odd, even)
        for j in range(count if slots else 0):  # one after another, so that they stay in the nearest cache
            _fill(room, boundary(room), at_split, j, count, samples)
            observable = states, room, rows, 1, samples, j * columns + at, count * columns
            _backward_and_contract(split, ops, tables, angles, *observable, odd, even)


@compiled_in_place
def sweep_forward(first, last, lanes, ops, tables, angles, initial, rooms, states):
    """Sweep samples forward only, as above, and write their states to ``states``, (rows, samples) laid flat."""
    rows = len(initial)
    room, none = rooms
    for at in range(first, last, lanes):
        samples = min(lanes, last - at)
        _fill(room, boundary(room), initial, 0, 1, samples)
        x, _ = _forward(len(ops), ops, tables, angles, room, rows, samples, at, none)
        for r in range(rows):
            _copy(room, x + r * samples, states, r * (last - first) + at - first, samples)


@inlined
def _keep_terms(room, x, lanes, j, part, blocks, firsts, seconds, terms, end):
    """Write down observable j's numbers in the pairs of rows of a rotation, without pairs of zeros; return the end."""
    rows, others, ps, qs = terms
    first_block, last_block, run, first_entry, last_entry = part
    for n in range(first_block, last_block):
        for k in range(first_entry, last_entry):
            for r in range(run):
                a, b = blocks[n] + firsts[k] + r, blocks[n] + seconds[k] + r
                p, q = room[x + a * lanes + j], room[x + b * lanes + j]
                rows[end], others[end], ps[end], qs[end] = a, b, p, q
                end += 1 if p != 0.0 or q != 0.0 else 0
    return end


@compiled_in_place
def _pull_back(first, ops, tables, angles, room, num_rows, lanes, kept):
    """Pull observables back through instructions from the last to ``first``; return where they are in ``room``.

    They are swept as if each were a sample: there are ``lanes`` numbers in a row, one for each, or more.
    """
    (blocks, outputs, inputs, factors), (cos, sin, columns), (ends, terms) = tables, angles, kept
    x, y, end = 0, num_rows * lanes, 0
    for n in range(len(ops) - 1, first - 1, -1):
        if len(ends) and ops[n, SLOT] >= 0:
            for j in range(ends.shape[1]):
                ends[ops[n, SLOT], j, 0] = end
                end = _keep_terms(room, x, lanes, j, _part(ops, n, False), blocks, outputs, inputs, terms, end)
                ends[ops[n, SLOT], j, 1] = end
        own = ops[n, ANGLE] * columns
        x, y = _apply(n, True, ops, blocks, outputs, inputs, factors, cos, sin, own, room, x, y, 1, lanes)
    return x


def pulled_back(
    first: int, ops: NDArray[np.int64], tables: Any, angles: Any, observables: Array, num_slots: int
) -> tuple[Array, Any]:
    """Pull observables of all samples back through instructions from the last one on.

    Args:
        first: The last one to be pulled back through.
        ops: Instructions; no rotation's angle may differ between samples.
        tables: As above.
        angles: As above.
        observables: Shape (rows, observables).
        num_slots: Number of rotations with a slot among them, for each of which the observables just after it are kept.

    Returns:
        The observables, shape (rows, observables), and what is kept, for ``sweep_paulis``: where the terms of each slot
        and observable begin and end, and the terms, as they are contracted.
    """
    rows, count = observables.shape
    lanes = max(count, LANES)
    room = np.zeros((2, rows, lanes))
    room[0, :, :count] = observables
    # A rotation turns half of the rows with the other half at most; room that is not written takes no memory.
    most = num_slots * count * (rows // 2) + 1
    terms = np.empty(most, dtype=np.int64), np.empty(most, dtype=np.int64), np.empty(most), np.empty(most)
    kept = np.empty((num_slots, count, 2), dtype=np.int64), terms
    start = _pull_back(first, ops, tables, angles, room.reshape(-1), rows, lanes, kept)
    return room[1 if start else 0, :, :count], kept
