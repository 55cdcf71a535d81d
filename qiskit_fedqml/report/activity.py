"""Many pieces of work as shares of time: in each of equal spans, how much of it a machine worked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.report.work import SERVER, Bar
from qiskit_fedqml.tables import duration

NUM_SPANS = 72
"""Spans of a timeline: each is wide enough to be seen and pointed at, on a phone too."""

Shares = NDArray[np.float64]


@dataclass(frozen=True)
class Activity:
    """What an entry of the backends file, or the server, did in each span.

    Args:
        entry: Its name.
        lane: The machine.
        end_seconds: The end of the last span; the first one begins at 0.
        worked: The share of each span with work of which something came, from 0 to 1; shape (spans,).
        wasted: The further share with work of which nothing came.
        waited: The share with a task in the queue.
        texts: What it was, in words; empty where nothing was done.
    """

    entry: str
    lane: str
    end_seconds: float
    worked: Shares
    wasted: Shares
    waited: Shares
    texts: list[str]


def activities(work: Sequence[Bar], end_seconds: float) -> list[Activity]:
    """Sum up work by entry and span.

    Args:
        work: The pieces of work.
        end_seconds: The end of the last span; the first one begins at 0.
    """
    edges = np.linspace(0.0, end_seconds, NUM_SPANS + 1)
    by_entry: dict[str, list[Bar]] = {}
    for bar in work:
        by_entry.setdefault(bar.entry, []).append(bar)
    return [_activity(entry, of_entry, edges) for entry, of_entry in by_entry.items()]


def _activity(entry: str, work: list[Bar], edges: Shares) -> Activity:
    every = _covered(work, lambda bar: (bar.start_seconds, bar.end_seconds), edges)
    worked = _covered([b for b in work if b.is_used], lambda bar: (bar.start_seconds, bar.end_seconds), edges)
    queued = [bar for bar in work if bar.waited_seconds]
    waited = _covered(queued, lambda bar: (bar.start_seconds - bar.waited_seconds, bar.start_seconds), edges)
    return Activity(
        entry, work[0].lane, float(edges[-1]), worked, every - worked, waited, _texts(entry, work, every, edges)
    )


def _covered(work: Sequence[Bar], times_of: Callable[[Bar], tuple[float, float]], edges: Shares) -> Shares:
    """Return the share of each span in which at least one of some times runs."""
    if not work:
        return np.zeros(len(edges) - 1)
    times = np.array(sorted(map(times_of, work)))
    ends = np.maximum.accumulate(times[:, 1])
    starts = np.maximum(times[:, 0], np.concatenate([[-np.inf], ends[:-1]]))
    done = np.cumsum(np.maximum(ends - starts, 0.0))
    before = np.concatenate([[0.0], done[:-1]])
    breakpoints = np.column_stack([np.minimum(starts, ends), ends]).ravel()
    sums = np.column_stack([before, done]).ravel()
    return np.clip(np.diff(np.interp(edges, breakpoints, sums)) / np.diff(edges), 0.0, 1.0)


def _texts(entry: str, work: list[Bar], shares: Shares, edges: Shares) -> list[str]:
    starts, ends = (np.array([getattr(bar, f"{end}_seconds") for bar in work]) for end in ("start", "end"))
    rounds, is_used = np.array([bar.round for bar in work]), np.array([bar.is_used for bar in work])
    word, what = work[0].step_word.capitalize(), "test" if entry == SERVER else "client"
    texts = []
    for share, begin, end in zip(shares, edges[:-1], edges[1:], strict=True):
        is_in = (starts < end) & (ends > begin)
        if not (count := int(is_in.sum())):
            texts.append("")
            continue
        first, last = int(rounds[is_in].min()), int(rounds[is_in].max())
        when = f"{word} {first}" if first == last else f"{word}s {first} to {last}"
        lost = count - int(is_used[is_in].sum())
        unused = f", {lost} of them not used" if lost else ""
        done = f"{count} {what}{'' if count == 1 else 's'}"
        texts.append(f"{when}, {entry}: {done}{unused}, at work {share:.0%} of {duration(end - begin)}")
    return texts
