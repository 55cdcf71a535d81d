"""What the runs of the attacks show, as maps and in words."""

from collections.abc import Mapping, Sequence
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from parts.attack_design import ATTACKS, CLEAN, DEFENCES, UNDEFENDED
from parts.attack_results import STOPPED, Findings, scheme_of
from qiskit_fedqml.study.statistics import Interval, over_seeds, spread_of


def attack_figure(found: Findings) -> Figure:
    """Draw accuracy and the success of attacks that want certain answers as maps, a cell an attack and defence."""
    targeted = [attack for attack in found.attacks if ATTACKS[attack].wants != "errors"]
    heights = [len(found.attacks), max(len(targeted), 1)]
    figure = Figure(figsize=(12, 0.42 * sum(heights) + 3.4), layout="constrained")
    axes = figure.subplots(2 if targeted else 1, 1, squeeze=False, height_ratios=heights[: 2 if targeted else 1])[:, 0]
    accuracies = {a: [found.accuracy(a, d) for d in found.defences] for a in found.attacks}
    _draw_map(axes[0], found, accuracies, "viridis", "Testing accuracy (%): attackers want it low")
    if targeted:
        successes = {a: [found.success(a, d, ATTACKS[a].wants) for d in found.defences] for a in targeted}
        _draw_map(axes[1], found, successes, "magma_r", "Answers that attackers want (%): they want it high")
    seeds = len(found.study.of(scheme_of(CLEAN, UNDEFENDED)))
    figure.suptitle(f"{found.attackers} of {found.clients} clients attack; {spread_of(seeds)}", fontsize=11)
    return figure


def _draw_map(
    axis: Axes, found: Findings, rows: Mapping[str, Sequence[Interval | None]], colours: str, title: str
) -> None:
    values = np.array([[np.nan if of is None else 100 * of.mean for of in row] for row in rows.values()])
    image = axis.imshow(values, cmap=colours, vmin=0, vmax=100, aspect="auto")
    axis.set_facecolor("0.85")
    axis.set_title(title, fontsize=10, loc="left")
    titles = [DEFENCES[name].title for name in found.defences]
    axis.set_xticks(range(len(titles)), titles, rotation=30, ha="right", fontsize=9)
    axis.set_yticks(range(len(rows)), [ATTACKS[attack].title for attack in rows], fontsize=9)
    for place, row in enumerate(rows.values()):
        for column, of in enumerate(row):
            if of is None:
                axis.text(column, place, STOPPED, ha="center", va="center", fontsize=8, color="0.2")
                continue
            red, green, blue, _ = image.cmap(image.norm(100 * of.mean))
            ink = "black" if 0.3 * red + 0.59 * green + 0.11 * blue > 0.5 else "white"
            spread = "" if of.half_width is None else f" ± {100 * of.half_width:.0f}"
            axis.text(column, place, f"{100 * of.mean:.0f}{spread}", ha="center", va="center", fontsize=8, color=ink)


def in_words(found: Findings) -> str:
    """Return what the figures are, what is simulated, and what is not."""
    seeds = len(found.study.of(scheme_of(CLEAN, UNDEFENDED)))
    bulyan = " Bulyan has the largest f that so many clients allow, fewer than attack." if _bulyan_lacks(found) else ""
    paragraphs = [
        text.format(n=found.clients, f=found.attackers, over=over_seeds(seeds), bulyan=bulyan) for text in _ABOUT
    ]
    return "\n\n".join(fill(" ".join(text.split()), 120) for text in paragraphs)


def _bulyan_lacks(found: Findings) -> bool:
    return "bulyan" in found.defences and found.clients < 4 * found.attackers + 3


_ABOUT = (
    """Digits 0 to 3, shared out equally among {n} clients on ideal machines, all of which train in each round; {f}
    of them attack from the first round to the last. Accuracy is tested on digits that nobody holds, on an ideal
    machine; the mean of the last ten rounds (of a quarter of a short run) {over}. "Loses" is clean FedAvg's
    accuracy minus that of the same seed under attack, in pairs: same data, initial weights and orders of
    examples.""",
    """**Answers that attackers want** are the final model's: the class 3 − c for digit c where labels are flipped;
    0 for images of other digits with the trigger, four bright pixels in a corner, where there is a backdoor. The
    rows "nobody attacks" say how often a clean model answers so. All other attacks want errors.""",
    """**Updates** are what a client's training changes. × −1 and × −4 multiply it. "A little is enough"
    (arXiv:1902.06156) and "inner product" (arXiv:1903.03936) are those of clients that collude: all send the mean
    of their own honest updates less z standard deviations, with the paper's z, or the mean times −0.5. They know
    their own updates, and not those of others. The backdoor (as in arXiv:1708.06733) is half of an attacker's
    images with the trigger, labelled 0; boosted, its update is multiplied by {n}/{f} (arXiv:1807.00459).""",
    """**Machines that lie** run another circuit than they are asked to, or misreport it; data and training of their
    clients are honest. Readout flipped: each bit is read as the other one. Gates + 1 rad: each parameterised gate
    turns 1 rad too far, on one machine that all attackers use. Gates + N(0, 1): by an angle of its own, on a
    machine of each attacker's own. Paulis added: a random X, Y or Z after each parameterised gate, on one machine.
    The reference for attacks through circuits is CULT (arXiv:2605.27416), which has Pauli, bit-flip, sign-flip and
    Grover attacks; these here are in its spirit, and none of its implementations.""",
    """**Defences** know how many attack: trimmed mean drops {f} at each end, Krum and Multi-Krum have f =
    {f}.{bulyan} The norm bound is 1.5, about an honest update's norm; the norm ratio refuses updates of more than
    1.5 times the median norm. "stops": the updates that are refused leave fewer than the rule needs, so that
    attackers end the run.""",
    """**Not shown:** clients whose data differ, so that honest updates are less alike, on which most of these rules
    build; attackers that know the defence and adapt to it; rounds with a draw of the clients, in which attackers
    may be the majority; noise of honest machines. One strength of each attack was run, not the worst one for each
    defence.""",
)
