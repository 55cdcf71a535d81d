"""What an instruction does to any number of samples: see ``kernels``. For eight of them there is ``wide``.

Unsigned indices cannot count from the end: without that question the loops are several times as fast.
"""

import numpy as np

from qiskit_fedqml.circuits.compiling import compiled_in_place


@compiled_in_place
def rotate(room, x, part, blocks, firsts, seconds, width, c, s):
    """Turn pairs of rows by the same angle for all: (p, q) becomes (c·p − s·q, s·p + c·q)."""
    first_block, last_block, run, first_entry, last_entry = part
    length = np.uint64(run * width)
    for n in range(first_block, last_block):
        for k in range(first_entry, last_entry):
            a, b = np.uint64(x + (blocks[n] + firsts[k]) * width), np.uint64(x + (blocks[n] + seconds[k]) * width)
            for i in range(length):
                u, v = room[a + i], room[b + i]
                room[a + i] = c * u - s * v
                room[b + i] = s * u + c * v


@compiled_in_place
def rotate_each(room, x, part, blocks, firsts, seconds, copies, samples, cos, sin, at):
    """Turn pairs of rows by an angle for each sample, whose cosines and sines are found from ``at`` on."""
    first_block, last_block, run, first_entry, last_entry = part
    count, start = np.uint64(samples), np.uint64(at)
    for n in range(first_block, last_block):
        for k in range(first_entry, last_entry):
            for r in range(run * copies):
                a = np.uint64(x + ((blocks[n] + firsts[k]) * copies + r) * samples)
                b = np.uint64(x + ((blocks[n] + seconds[k]) * copies + r) * samples)
                for i in range(count):
                    u, v, c, s = room[a + i], room[b + i], cos[start + i], sin[start + i]
                    room[a + i] = c * u - s * v
                    room[b + i] = s * u + c * v


@compiled_in_place
def multiply(room, x, y, part, blocks, outputs, inputs, factors, width):
    """Apply a matrix given by its entries, sorted by output, to ``x``, into ``y``; every output has an entry."""
    first_block, last_block, run, first_entry, last_entry = part
    length = np.uint64(run * width)
    for n in range(first_block, last_block):
        last = -1
        for k in range(first_entry, last_entry):
            a, b = np.uint64(x + (blocks[n] + inputs[k]) * width), np.uint64(y + (blocks[n] + outputs[k]) * width)
            factor = factors[k]
            if outputs[k] == last:
                for i in range(length):
                    room[b + i] += factor * room[a + i]
            else:
                for i in range(length):
                    room[b + i] = factor * room[a + i]
            last = outputs[k]


@compiled_in_place
def contract(room, x, samples, first, last, terms, both, odd, even, at):
    """Add up what an observable that is the same for all samples makes of the pairs of rows of a state.

    ``terms`` are the pairs' rows, and the observable's numbers there; it has those from ``first`` to ``last``.
    """
    rows, others, ps, qs = terms
    to = np.uint64(at)
    for k in range(first, last):
        p, q, a, b = ps[k], qs[k], np.uint64(x + rows[k] * samples), np.uint64(x + others[k] * samples)
        for i in range(np.uint64(samples)):
            odd[to + i] += q * room[a + i] - p * room[b + i]
        if both:
            for i in range(np.uint64(samples)):
                even[to + i] += p * room[a + i] + q * room[b + i]


@compiled_in_place
def contract_each(
    states, x, x_copies, room, y, copies, skip, samples, part, blocks, firsts, seconds, both, odd, even, at, stride
):
    """Do the same with observables of each sample, the copies of ``y`` from ``skip`` on; the state is copy 0 of ``x``.

    The sums of observable j are added from ``at + j · stride`` on.
    """
    first_block, last_block, run, first_entry, last_entry = part
    for n in range(first_block, last_block):
        for k in range(first_entry, last_entry):
            for r in range(run):
                a, b = blocks[n] + firsts[k] + r, blocks[n] + seconds[k] + r
                at_a, at_b = np.uint64(x + a * x_copies * samples), np.uint64(x + b * x_copies * samples)
                for j in range(copies - skip):
                    p = np.uint64(y + (a * copies + skip + j) * samples)
                    q = np.uint64(y + (b * copies + skip + j) * samples)
                    to = np.uint64(at + j * stride)
                    for i in range(np.uint64(samples)):
                        odd[to + i] += room[q + i] * states[at_a + i] - room[p + i] * states[at_b + i]
                    if both:
                        for i in range(np.uint64(samples)):
                            even[to + i] += room[p + i] * states[at_a + i] + room[q + i] * states[at_b + i]


@compiled_in_place
def expectations(room, x, samples, observables, count, values, at, stride):
    """Add ⟨observable j, state⟩ to ``values`` from ``at + j · stride`` on; observables have shape (rows, count)."""
    for r in range(len(observables) // count):
        start = np.uint64(x + r * samples)
        for j in range(count):
            factor, to = observables[r * count + j], np.uint64(at + j * stride)
            if factor != 0.0:
                for i in range(np.uint64(samples)):
                    values[to + i] += factor * room[start + i]


@compiled_in_place
def overlaps(room, x, rows, copies, samples, values, at, stride):
    """Add the product of copy 0 with copy 1 + j to ``values`` from ``at + j · stride`` on."""
    for r in range(rows):
        start = np.uint64(x + r * copies * samples)
        for j in range(copies - 1):
            other, to = start + np.uint64((1 + j) * samples), np.uint64(at + j * stride)
            for i in range(np.uint64(samples)):
                values[to + i] += room[other + i] * room[start + i]
