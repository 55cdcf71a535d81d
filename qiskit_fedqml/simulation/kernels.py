"""The loops of the sweeps, compiled by Numba.

A state is an array of real numbers of shape (rows, copies, samples). A row is a component: the real or imaginary part
of an amplitude, or the expectation of a Pauli string. Samples are those of a batch, and copies are several states that
the same instructions act on. An instruction acts on the bits of a row's index that belong to its qubits, on ``blocks``
of rows: in a block that starts at ``base``, offset ``d`` means the ``run`` rows from ``base + d`` on, which differ
in lower bits only and lie side by side.

Every sum runs over rows, in their order, for each sample on its own, and products are rounded before they are added:
so chunks of samples, vector registers and threads change no bit.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}


def compiled(function: Callable[..., Any]) -> Any:
    """Compile at the first use, and keep the machine code on disk where a folder for it can be written."""
    try:
        return numba.njit(cache=True, **OPTIONS)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        return numba.njit(**OPTIONS)(function)


KIND, ANGLE, SHARED, SLOT, BLOCKS, NUM_BLOCKS, RUN, ENTRIES, NUM_ENTRIES, TRANSPOSED, NUM_TRANSPOSED = range(11)
"""Columns of a table of instructions, a row each.

KIND is ROTATION or FIXED; ANGLE a rotation's row of cosines and sines, and SHARED whether it is the same for all
samples; SLOT where the state or observable just after it is kept, −1 for nowhere; BLOCKS and NUM_BLOCKS are the
instruction's part of the starts of blocks, and RUN the rows in a run; ENTRIES and NUM_ENTRIES its part of the entries
(pairs of rows for a rotation, the matrix for a fixed one), TRANSPOSED and NUM_TRANSPOSED those of the transpose.
"""
ROTATION, FIXED = 0, 1


@compiled
def turns(angles, factor):
    """Return cosines and sines of ``factor`` times angles, shape (angles, samples), and which are the same for all.

    The angles have shape (samples, angles). Of one that all samples share, the functions are computed once.
    """
    samples, count = angles.shape
    cos, sin = np.empty((count, samples)), np.empty((count, samples))
    shared = np.ones(count, dtype=np.bool_)
    for g in range(count):
        for k in range(samples):
            if angles[k, g] != angles[0, g]:
                shared[g] = False
                break
        for k in range(samples):
            if k == 0 or not shared[g]:
                c, s = np.cos(factor * angles[k, g]), np.sin(factor * angles[k, g])
            cos[g, k], sin[g, k] = c, s
    return cos, sin, shared


@compiled
def _rotate(state, blocks, run, first, second, c, s):
    """Turn pairs of rows by the same angle for all: (x, y) becomes (c·x − s·y, s·x + c·y)."""
    width = state.shape[1] * state.shape[2]
    flat, length = state.reshape(-1), run * width
    for base in blocks:
        for k in range(len(first)):
            a, b = (base + first[k]) * width, (base + second[k]) * width
            x, y = flat[a : a + length], flat[b : b + length]
            for i in range(length):
                u, v = x[i], y[i]
                x[i] = c * u - s * v
                y[i] = s * u + c * v


@compiled
def _rotate_each(state, blocks, run, first, second, c, s):
    """Turn pairs of rows by an angle for each sample; ``c`` and ``s`` have shape (samples,)."""
    samples = len(c)
    for base in blocks:
        for k in range(len(first)):
            for r in range(run):
                for j in range(state.shape[1]):
                    x, y = state[base + first[k] + r, j], state[base + second[k] + r, j]
                    for i in range(samples):
                        u, v = x[i], y[i]
                        x[i] = c[i] * u - s[i] * v
                        y[i] = s[i] * u + c[i] * v


@compiled
def _multiply(source, target, blocks, run, outputs, inputs, factors):
    """Apply a matrix given by its entries, sorted by output; every output has an entry."""
    width = source.shape[1] * source.shape[2]
    x, y, length = source.reshape(-1), target.reshape(-1), np.uint64(run * width)
    for base in blocks:
        last = -1
        for k in range(len(outputs)):
            # Unsigned indices cannot count from the end: without that question the loops are several times as fast.
            a, b = np.uint64((base + inputs[k]) * width), np.uint64((base + outputs[k]) * width)
            factor = factors[k]
            if outputs[k] == last:
                for i in range(length):
                    y[b + i] += factor * x[a + i]
            else:
                for i in range(length):
                    y[b + i] = factor * x[a + i]
            last = outputs[k]


@compiled
def _contract(state, observables, blocks, run, first, second, odd, even):
    """Add up what observables, the same for all samples, make of the pairs of rows that a rotation turned.

    ``observables`` has shape (rows, observables); ``odd`` and ``even`` have shape (observables, samples).
    """
    samples, both = np.uint64(state.shape[2]), len(even) > 0
    x, sums, halves = state.reshape(-1), odd.reshape(-1), even.reshape(-1)
    for base in blocks:
        for k in range(len(first)):
            for r in range(run):
                a, b = base + first[k] + r, base + second[k] + r
                at_a, at_b = np.uint64(a) * samples, np.uint64(b) * samples
                for j in range(observables.shape[1]):
                    p, q, at = observables[a, j], observables[b, j], np.uint64(j) * samples
                    if p == 0.0 and q == 0.0:
                        continue
                    for i in range(samples):
                        sums[at + i] += q * x[at_a + i] - p * x[at_b + i]
                    if both:
                        for i in range(samples):
                            halves[at + i] += p * x[at_a + i] + q * x[at_b + i]


@compiled
def _contract_each(state, observables, skip, blocks, run, first, second, odd, even):
    """Do the same with observables of each sample, shape (rows, skip + observables, samples)."""
    samples, both = np.uint64(state.shape[2]), len(even) > 0
    x, y, sums, halves = state.reshape(-1), observables.reshape(-1), odd.reshape(-1), even.reshape(-1)
    x_width, y_width = np.uint64(state.shape[1]) * samples, np.uint64(observables.shape[1]) * samples
    for base in blocks:
        for k in range(len(first)):
            for r in range(run):
                a, b = np.uint64(base + first[k] + r), np.uint64(base + second[k] + r)
                at_a, at_b = a * x_width, b * x_width
                for j in range(len(odd)):
                    copy = np.uint64(skip + j) * samples
                    p, q, at = a * y_width + copy, b * y_width + copy, np.uint64(j) * samples
                    for i in range(samples):
                        sums[at + i] += y[q + i] * x[at_a + i] - y[p + i] * x[at_b + i]
                    if both:
                        for i in range(samples):
                            halves[at + i] += y[p + i] * x[at_a + i] + y[q + i] * x[at_b + i]


@compiled
def _forward_step(op, tables, cos, sin, state, spare):
    """Apply an instruction; return the new state and the array that is free now."""
    _, all_blocks, outputs, inputs, factors = tables
    blocks = all_blocks[op[BLOCKS] : op[BLOCKS] + op[NUM_BLOCKS]]
    entries = slice(op[ENTRIES], op[ENTRIES] + op[NUM_ENTRIES])
    if op[KIND] == FIXED:
        _multiply(state, spare, blocks, op[RUN], outputs[entries], inputs[entries], factors[entries])
        return spare, state
    c, s = cos[op[ANGLE]], sin[op[ANGLE]]
    if op[SHARED]:
        _rotate(state, blocks, op[RUN], outputs[entries], inputs[entries], c[0], s[0])
    else:
        _rotate_each(state, blocks, op[RUN], outputs[entries], inputs[entries], c, s)
    return state, spare


@compiled
def _backward_step(op, tables, cos, sin, state, spare):
    """Apply an instruction's transpose; return the new state and the array that is free now."""
    _, all_blocks, outputs, inputs, factors = tables
    blocks = all_blocks[op[BLOCKS] : op[BLOCKS] + op[NUM_BLOCKS]]
    if op[KIND] == FIXED:
        entries = slice(op[TRANSPOSED], op[TRANSPOSED] + op[NUM_TRANSPOSED])
        _multiply(state, spare, blocks, op[RUN], outputs[entries], inputs[entries], factors[entries])
        return spare, state
    entries = slice(op[ENTRIES], op[ENTRIES] + op[NUM_ENTRIES])
    c, s = cos[op[ANGLE]], sin[op[ANGLE]]
    if op[SHARED]:
        _rotate(state, blocks, op[RUN], inputs[entries], outputs[entries], c[0], s[0])
    else:
        _rotate_each(state, blocks, op[RUN], inputs[entries], outputs[entries], c, s)
    return state, spare


@compiled
def forward(start, stop, tables, cos, sin, state, kept):
    """Apply instructions to a state (rows, 1, samples); keep it in ``kept[slot]`` after each rotation with a slot."""
    spare = np.empty_like(state)
    for n in range(start, stop):
        op = tables[0][n]
        state, spare = _forward_step(op, tables, cos, sin, state, spare)
        if op[SLOT] >= 0 and len(kept):
            kept[op[SLOT]] = state
    return state


@compiled
def forward_and_contract(start, stop, tables, cos, sin, state, pulled_back, odd, even):
    """Apply instructions to a state, and contract it after each rotation with the observables pulled back to there.

    ``pulled_back`` has shape (slots, rows, observables), ``odd`` and ``even`` (angles, observables, samples).
    """
    spare = np.empty_like(state)
    for n in range(start, stop):
        op = tables[0][n]
        state, spare = _forward_step(op, tables, cos, sin, state, spare)
        if op[SLOT] >= 0:
            blocks = tables[1][op[BLOCKS] : op[BLOCKS] + op[NUM_BLOCKS]]
            first = tables[2][op[ENTRIES] : op[ENTRIES] + op[NUM_ENTRIES]]
            second = tables[3][op[ENTRIES] : op[ENTRIES] + op[NUM_ENTRIES]]
            halves = even[op[ANGLE]] if len(even) else np.empty((0, odd.shape[2]))
            _contract(state, pulled_back[op[SLOT]], blocks, op[RUN], first, second, odd[op[ANGLE]], halves)
    return state


@compiled
def backward(start, stop, tables, cos, sin, observables, kept):
    """Pull observables (rows, observables, 1) back through instructions, the last one first; keep them as above."""
    spare = np.empty_like(observables)
    for n in range(stop - 1, start - 1, -1):
        op = tables[0][n]
        if op[SLOT] >= 0 and len(kept):
            kept[op[SLOT]] = observables[:, :, 0]
        observables, spare = _backward_step(op, tables, cos, sin, observables, spare)
    return observables


@compiled
def backward_and_contract(start, stop, tables, cos, sin, observables, states, odd, even):
    """Pull back observables of each sample, and contract them at each rotation with the state kept after it.

    With ``states``, of shape (slots, rows, 1, samples), ``observables`` has shape (rows, observables, samples).
    Without, its first copy is the state itself, which the transposed instructions, being orthogonal, take back too.
    """
    spare = np.empty_like(observables)
    skip = 0 if len(states) else 1
    for n in range(stop - 1, start - 1, -1):
        op = tables[0][n]
        if op[SLOT] >= 0:
            blocks = tables[1][op[BLOCKS] : op[BLOCKS] + op[NUM_BLOCKS]]
            first = tables[2][op[ENTRIES] : op[ENTRIES] + op[NUM_ENTRIES]]
            second = tables[3][op[ENTRIES] : op[ENTRIES] + op[NUM_ENTRIES]]
            state = observables if skip else states[op[SLOT]]
            halves = even[op[ANGLE]] if len(even) else np.empty((0, odd.shape[2]))
            _contract_each(state, observables, skip, blocks, op[RUN], first, second, odd[op[ANGLE]], halves)
        observables, spare = _backward_step(op, tables, cos, sin, observables, spare)
    return observables


@compiled
def apply_paulis(state, target, skip, xs, zs, num_ys, coefficients, operators):
    """Add Pauli terms applied to a state vector to copy ``skip + operators[t]`` of ``target``.

    Term t flips the bits of ``xs[t]``, gives a sign for each set bit of ``zs[t]``, and a factor i for each Y.
    """
    dimension = len(state) // 2
    for t in range(len(coefficients)):
        j = skip + operators[t]
        for i in range(dimension):
            parity = i & zs[t]
            for shift in (16, 8, 4, 2, 1):
                parity ^= parity >> shift
            # The factor i^num_ys turns (re, im); an odd power swaps them.
            quarter = (num_ys[t] + 2 * (parity & 1)) % 4
            swapped = quarter % 2
            of_re = coefficients[t] if quarter in (0, 1) else -coefficients[t]
            of_im = -of_re if swapped else of_re
            re, im = state[i, 0], state[dimension + i, 0]
            to_re, to_im = target[i ^ xs[t], j], target[dimension + (i ^ xs[t]), j]
            if swapped:
                for k in range(len(re)):
                    to_re[k] += of_im * im[k]
                    to_im[k] += of_re * re[k]
            else:
                for k in range(len(re)):
                    to_re[k] += of_re * re[k]
                    to_im[k] += of_im * im[k]


@compiled
def expectations(state, observables, result):
    """Add up ⟨observable, state⟩ into (observables, samples), for observables of shape (rows, observables)."""
    for r in range(len(state)):
        x = state[r, 0]
        for j in range(observables.shape[1]):
            factor, total = observables[r, j], result[j]
            if factor != 0.0:
                for i in range(len(x)):
                    total[i] += factor * x[i]


@compiled
def overlaps(states, result):
    """Add up the products of copy 0 with each other copy into (copies − 1, samples)."""
    for r in range(len(states)):
        x = states[r, 0]
        for j in range(len(result)):
            y, total = states[r, 1 + j], result[j]
            for i in range(len(x)):
                total[i] += y[i] * x[i]
