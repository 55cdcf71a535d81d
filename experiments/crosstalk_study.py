"""What crosstalk between neighbouring blocks does to values and gradients, which rehearsals leave out.

Two copies of the paper's circuit, on neighbouring blocks of a device as the package cuts it, are simulated in one
density matrix, with ZZ coupling of stated strengths between the blocks during all of the circuit, and are compared with
each block alone, which is what a rehearsal simulates. The device's gates must be SX, X, RZ and CZ.

    python experiments/crosstalk_study.py
    python experiments/crosstalk_study.py --device FakeKingston --strengths 10 30 100
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from parts.command_line import ScriptParser, positive, run_script
from parts.crosstalk import along
from parts.crosstalk_blocks import BlockPair, best_pairs
from parts.crosstalk_errors import Errors, Evaluated, Neighbour, Samples, joined, shot_noise
from parts.crosstalk_results import about, figure_of, reading, table

from qiskit_fedqml.errors import BackendError
from qiskit_fedqml.files import write_text
from qiskit_fedqml.report.drawing import save_figure
from qiskit_fedqml.study.summary import write_csv

_SECOND_ORDER = 0.1
"""Assumed strength of the coupling through an idle qubit, in that of one coupling."""
_ROUNDING = 1e-12
"""Most that values without crosstalk may differ from those of each block alone."""
SHOTS = (64, 512)


@dataclass(frozen=True)
class Case:
    """What acts between two blocks.

    Args:
        name: Its name in tables and figures.
        separation: Idle qubits between the blocks.
        calibrated: Whether an idle qubit's shift of its neighbours' frequencies is calibrated away.
        neighbour: What the other block does.
    """

    name: str
    separation: int
    calibrated: bool = True
    neighbour: Neighbour = "another client"


CASES = (
    Case("separation 0", 0),
    Case("separation 1", 1),
    Case("separation 1, with the idle qubit's own shift", 1, calibrated=False),
)
OTHER_NEIGHBOURS = (
    Case("separation 0, other shifts of the same samples", 0, neighbour="the same samples"),
    Case("separation 0, a neighbour that stays", 0, neighbour="one that stays"),
)


def measure(case: Case, all_samples: Sequence[Samples], kilohertz: float, slices: int) -> Errors:
    """Compare packed evaluations with crosstalk with those of each block alone, for all pairs of blocks."""
    found, truth = [], []
    for samples in all_samples:
        pair = samples.pair
        acting = along(pair.path, kilohertz, _SECOND_ORDER, calibrated=case.calibrated)

        def together(pub: Any, pair: BlockPair = pair, acting: Any = acting) -> Any:
            return pair.together(pub, acting, slices)

        found.append(samples.evaluated(together, case.neighbour))
        truth.append(samples.block_by_block(case.neighbour))
    return Errors(joined(found), joined(truth))


def check_exactness(all_samples: Sequence[Samples]) -> tuple[float, float]:
    """Return the largest difference of blocks together, and of a rehearsal, from each block alone, without crosstalk.

    Raises:
        BackendError: The blocks together differ by more than rounding.
    """
    largest, rehearsal = 0.0, 0.0
    for samples in all_samples:
        truth = samples.block_by_block()
        for number, way in enumerate((lambda pub, s=samples: s.pair.together(pub, []), samples.pair.rehearsed)):
            errors = Errors(samples.evaluated(way), truth).line()
            most = max(errors["values_max"], errors["gradients_max"])
            largest, rehearsal = (max(largest, most), rehearsal) if number == 0 else (largest, max(rehearsal, most))
    if largest > _ROUNDING:
        raise BackendError(f"Without crosstalk blocks together differ by {largest:.1e} from each block alone.")
    return largest, rehearsal


def run_study(device: str, strengths: Sequence[float], out: Path, *, pairs: int, slices: int, **sizes: Any) -> None:
    """Measure all cases at all strengths, and write tables and a figure."""
    chosen = {separation: best_pairs(device, separation, pairs) for separation in (0, 1)}
    samples = {separation: [Samples(pair, **sizes) for pair in found[0]] for separation, found in chosen.items()}
    rounding, rehearsal = check_exactness([*samples[0], *samples[1]])
    print(f"Without crosstalk blocks together differ by {rounding:.0e} from each block alone.", flush=True)
    drawn: list[dict[str, Any]] = []
    others: list[dict[str, Any]] = []
    truth: dict[int, Evaluated] = {}
    strongest = max(strengths)
    for case in (*CASES, *OTHER_NEIGHBOURS):
        for kilohertz in strengths if case in CASES else [strongest]:
            errors = measure(case, samples[case.separation], kilohertz, slices)
            truth.setdefault(case.separation, errors.truth)
            (drawn if case in CASES else others).append({"case": case.name, "kilohertz": kilohertz, **errors.line()})
            print(f"{case.name}, {kilohertz:g} kHz: {errors.line()['values_rms']:.4f}", flush=True)
    noise = Errors(truth[0], joined([of.ideal() for of in samples[0]])).line()
    references = [
        {"case": f"noise of {device}, against ideal values", "kilohertz": None, **noise},
        *(
            {"case": f"statistical error of {shots} shots", "kilohertz": None, **shot_noise(truth[0], shots)}
            for shots in SHOTS
        ),
    ]
    lines = [*drawn, *others, *references]
    write_csv([{key: line.get(key, "") for key in drawn[0]} for line in lines], out / "errors.csv")
    save_figure(figure_of(drawn, references, device), out / "crosstalk")
    facts = {
        "reading": reading(drawn, references[-1]),
        "device": device,
        "values": 2 * pairs * sizes["number"],
        "gradients": 2 * pairs * sizes["with_gradients"],
        "angles": len(samples[0][0].shifted),
        "blocks": "\n".join(_shown(pair) for found, _ in chosen.values() for pair in found),
        "rounding": f"{rounding:.0e}",
        "rehearsal": f"{rehearsal:.0e}",
        "microseconds": f"{1e6 * samples[0][0].pair.seconds:.1f}",
        "second_order": _SECOND_ORDER,
        "adjacent": chosen[0][1],
        "apart": chosen[1][1],
        "slices": slices,
        "strongest": strongest,
        "halved": f"{halving(samples[0], strongest, slices):.0e}",
    }
    text = table(lines) + about(**facts)
    write_text(out / "results.md", text)
    print(text)


def _shown(pair: BlockPair) -> str:
    first, second = ("-".join(map(str, copy.qubits)) for copy in pair.program.copies)
    return f"- {first} and {second}, next to each other over {'-'.join(map(str, pair.path))}"


def halving(all_samples: Sequence[Samples], kilohertz: float, slices: int) -> float:
    """Return how much a value changes at most if gates are cut twice as finely."""
    changes = []
    for samples in all_samples:
        pub = samples.pair.packed.pub(samples.angles.transpose(1, 0, 2))
        acting = along(samples.pair.path, kilohertz, _SECOND_ORDER)
        coarse, fine = (samples.pair.together(pub, acting, parts) for parts in (slices, 2 * slices))
        changes.append(np.abs(coarse - fine).max())
    return float(max(changes))


def main() -> None:
    """Run the study."""
    smallest = {"strengths": [100.0], "pairs": 1, "samples": 2, "gradients": 1, "angles": 1}
    parser = ScriptParser(__file__, __doc__, smallest=smallest)
    parser.add_argument("--device", default="FakeFez", help="fake device (default: %(default)s)")
    parser.add_argument("--strengths", type=float, nargs="+", default=[10.0, 30.0, 100.0], help="ν in kHz, above 0")
    parser.add_argument("--pairs", type=positive, default=2, help="pairs of blocks (default: %(default)s)")
    parser.add_argument("--samples", type=positive, default=20, help="values of each block (default: %(default)s)")
    parser.add_argument("--gradients", type=positive, default=2, help="gradients of each block (default: %(default)s)")
    parser.add_argument("--angles", type=positive, help="shift only so many angles, the first ones")
    parser.add_argument("--slices", type=positive, default=4, help="parts of each gate (default: %(default)s)")
    of = parser.parse_args()
    if any(strength <= 0 for strength in of.strengths):
        parser.error("--strengths must be above 0")
    sizes = {"number": of.samples, "with_gradients": of.gradients, "num_shifted": of.angles}
    run_study(of.device, sorted(of.strengths), of.out, pairs=of.pairs, slices=of.slices, **sizes)


if __name__ == "__main__":
    run_script(main)
