"""What an instruction does to eight samples at once, side by side in a processor's registers: see ``lanes``.

These are the loops of ``kernels`` for states of exactly eight samples, with the same sums in the same order.
"""

from qiskit_fedqml.circuits.compiling import inlined
from qiskit_fedqml.simulation.lanes import LANES, load, splat, store


@inlined
def rotate(room, x, part, blocks, firsts, seconds, copies, c, s):
    """Turn pairs of rows (p, q) to (c·p − s·q, s·p + c·q); ``c`` and ``s`` are lanes."""
    first_block, last_block, run, first_entry, last_entry = part
    width = copies * LANES
    for n in range(first_block, last_block):
        for k in range(first_entry, last_entry):
            a, b = x + (blocks[n] + firsts[k]) * width, x + (blocks[n] + seconds[k]) * width
            for i in range(0, run * width, LANES):
                u, v = load(room, a + i), load(room, b + i)
                store(room, a + i, c * u - s * v)
                store(room, b + i, s * u + c * v)


@inlined
def multiply(room, x, y, part, blocks, outputs, inputs, factors, copies):
    """Apply a matrix given by its entries, sorted by output, to ``x``, into ``y``; every output has an entry.

    An output's entries are taken two by two, in their order, through all blocks.
    """
    first_block, last_block, run, k, last_entry = part
    width = copies * LANES
    last = -1
    while k < last_entry:
        output, source, f = y + outputs[k] * width, x + inputs[k] * width, splat(factors[k])
        is_first = outputs[k] != last
        last = outputs[k]
        if k + 1 == last_entry or outputs[k + 1] != last:
            for n in range(first_block, last_block):
                base = blocks[n] * width
                for i in range(base, base + run * width, LANES):
                    total = f * load(room, source + i)
                    if not is_first:
                        total = load(room, output + i) + total
                    store(room, output + i, total)
            k += 1
            continue
        other, g = x + inputs[k + 1] * width, splat(factors[k + 1])
        for n in range(first_block, last_block):
            base = blocks[n] * width
            for i in range(base, base + run * width, LANES):
                total = f * load(room, source + i)
                if not is_first:
                    total = load(room, output + i) + total
                store(room, output + i, total + g * load(room, other + i))
        k += 2


@inlined
def contract(room, x, first, last, terms, both, odd, even, at):
    """Add up what an observable that is the same for all samples makes of the pairs of rows of a state.

    ``terms`` are the pairs' rows, and the observable's numbers there; it has those from ``first`` to ``last``.
    """
    rows, others, ps, qs = terms
    total, half = splat(0.0), splat(0.0)
    for k in range(first, last):
        u, v, p, q = load(room, x + rows[k] * LANES), load(room, x + others[k] * LANES), splat(ps[k]), splat(qs[k])
        total = total + (q * u - p * v)
        if both:
            half = half + (p * u + q * v)
    store(odd, at, total)
    if both:
        store(even, at, half)


@inlined
def contract_and_unrotate(
    states, x, x_copies, room, y, copies, skip, part, blocks, firsts, seconds, c, s, both, odd, even, at, stride
):
    """Contract a state with observables of each sample, and rotate back: (p, q) becomes (c·p + s·q, c·q − s·p).

    The observables are the copies of ``y`` from ``skip`` on; the state is copy 0 of ``x``, and if it is among the
    copies of ``y``, it turns too. The sums of observable j are written from ``at + j · stride`` on.
    """
    first_block, last_block, run, first_entry, last_entry = part
    x_width, y_width = x_copies * LANES, copies * LANES
    # The state comes last, because the observables are contracted with what it is before.
    for copy in range(copies - 1, -1, -1):
        total, half = splat(0.0), splat(0.0)
        for n in range(first_block, last_block):
            for k in range(first_entry, last_entry):
                a, b = blocks[n] + firsts[k], blocks[n] + seconds[k]
                for r in range(run):
                    at_p, at_q = y + (a + r) * y_width + copy * LANES, y + (b + r) * y_width + copy * LANES
                    p, q = load(room, at_p), load(room, at_q)
                    if copy >= skip:
                        u, v = load(states, x + (a + r) * x_width), load(states, x + (b + r) * x_width)
                        total = total + (q * u - p * v)
                        if both:
                            half = half + (p * u + q * v)
                    store(room, at_p, s * q + c * p)
                    store(room, at_q, c * q - s * p)
        if copy >= skip:
            store(odd, at + (copy - skip) * stride, total)
            if both:
                store(even, at + (copy - skip) * stride, half)


@inlined
def expectations(room, x, observables, count, values, at, stride):
    """Write ⟨observable j, state⟩ to ``values`` from ``at + j · stride`` on; observables have shape (rows, count)."""
    for j in range(count):
        total = splat(0.0)
        for r in range(len(observables) // count):
            factor = observables[r * count + j]
            if factor != 0.0:
                total = total + splat(factor) * load(room, x + r * LANES)
        store(values, at + j * stride, total)


@inlined
def overlaps(room, x, rows, copies, values, at, stride):
    """Write the product of copy 0 with copy 1 + j to ``values`` from ``at + j · stride`` on."""
    width = copies * LANES
    for j in range(copies - 1):
        total = splat(0.0)
        for r in range(x, x + rows * width, width):
            total = total + load(room, r + (1 + j) * LANES) * load(room, r)
        store(values, at + j * stride, total)
