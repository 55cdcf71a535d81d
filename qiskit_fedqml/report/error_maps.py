"""A simulated machine drawn as its chip: errors of its qubits and couplings, and what the circuit uses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray
from qiskit.transpiler import Target

from qiskit_fedqml.backends.chip import Chip, Pair, pairs_of
from qiskit_fedqml.report.coordinates import coordinates, span
from qiskit_fedqml.report.device_map import add_colour_bar, readable_on
from qiskit_fedqml.report.drawing import INK, Mark, Panel, add_legend
from qiskit_fedqml.report.naming import file_names
from qiskit_fedqml.report.used_circuits import Compiled

_COLOURS = LinearSegmentedColormap.from_list("errors", colormaps["viridis_r"](np.linspace(0.04, 0.96, 256)), N=48)
_UNKNOWN = "#8a9097"
_MOST_INCHES, _LARGEST_PITCH_INCHES, _BAR_INCHES = 7.5, 0.9, 1.0
_LEAST_FONT = 3.5  # points; a smaller number cannot be read


@dataclass(frozen=True)
class ErrorMap:
    """What is drawn of a machine.

    Args:
        machine: Its name.
        device: The device whose calibration it has.
        date: When that was made; may be empty.
        chip: Qubits and couplings.
        readout: Readout error of each qubit that has one.
        couplings: Error of the two-qubit gate of each coupling that has one, the lower one of both directions.
        used_qubits: The qubits that the circuit uses.
        used_couplings: The couplings that it uses.
        runs: Names of the runs that used it so.
    """

    machine: str
    device: str
    date: str
    chip: Chip
    readout: Mapping[int, float]
    couplings: Mapping[Pair, float]
    used_qubits: tuple[int, ...]
    used_couplings: tuple[Pair, ...]
    runs: tuple[str, ...] = ()

    @property
    def errors(self) -> list[float]:
        """All errors above 0."""
        return [error for error in (*self.readout.values(), *self.couplings.values()) if error > 0]


def error_maps(compiled: Sequence[Compiled]) -> list[ErrorMap]:
    """Return the maps of those machines that have the calibration of a device, error rates as they acted."""
    found = []
    for one in compiled:
        if one.calibration is None or one.chip is None:
            continue
        readout, couplings = _errors(one.calibration.target)
        circuit = one.program.circuit
        pairs = pairs_of([tuple(circuit.find_bit(q).index for q in i.qubits) for i in circuit.data])
        used: dict[str, Any] = {"used_qubits": one.program.qubits, "used_couplings": pairs, "runs": one.runs}
        device, date = one.calibration.device, one.calibration.date
        found.append(ErrorMap(one.machine, device, date, one.chip, readout, couplings, **used))
    return found


def error_map_panels(maps: Sequence[ErrorMap], num_runs: int) -> list[Panel]:
    """Draw machines, with the runs that used them where these are not all."""
    slugs = file_names([f"errors_{of.machine}_{of.runs[0] if of.runs else ''}" for of in maps])
    where = ["" if len(of.runs) == num_runs else f"; in {', '.join(of.runs)}" for of in maps]
    return [error_map_panel(of, *names) for of, *names in zip(maps, slugs, where, strict=True)]


def error_map_panel(drawn: ErrorMap, slug: str, where: str = "") -> Panel:
    """Draw a machine: colours of qubits are readout errors, those of couplings errors of the two-qubit gate.

    Args:
        drawn: What is drawn.
        slug: What the panel's files are called.
        where: What follows in the title.
    """
    places = coordinates(drawn.chip)
    columns, rows = np.ptp(places, axis=0) + 1
    pitch = min((_MOST_INCHES - _BAR_INCHES) / columns, _LARGEST_PITCH_INCHES)
    height = max(1.7, pitch * rows + 0.45)
    figure = Figure(figsize=(max(5.0, pitch * columns + _BAR_INCHES), height), dpi=72, layout="constrained")
    axis = figure.subplots()
    axis.set(aspect="equal", anchor="W", xlim=span(places[:, 0]), ylim=span(places[:, 1]))
    axis.set_axis_off()
    scale = _scale(drawn)
    _write_percent(add_colour_bar(axis, scale, "Error", shrink=0.9, aspect=25))
    _explain(figure)
    _draw(axis, drawn, places, 72 * pitch, scale)
    date = f", calibrated {drawn.date[:10]}" if drawn.date else ""
    device = "" if drawn.device == drawn.machine else f" ({drawn.device})"
    qubits, couplings = len(drawn.used_qubits), len(drawn.used_couplings)
    note = (
        f"The circuit uses {qubits} of {drawn.chip.num_qubits} qubits and {couplings} of "
        f"{len(drawn.chip.couplings)} couplings. Qubits: readout error; couplings: error of the two-qubit gate."
    )
    title = f"Errors of {drawn.machine}{device}{date}{where}"
    return Panel(slug, title, figure, {}, _marks(drawn, places), note=note, keeps_size=True)


def _errors(target: Target) -> tuple[dict[int, float], dict[Pair, float]]:
    """Return readout errors by qubit, and those of two-qubit gates by coupling."""
    readout: dict[int, float] = {}
    couplings: dict[Pair, float] = {}
    for name in target.operation_names:
        for on, properties in (target[name] or {}).items():
            error = getattr(properties, "error", None)
            if on is None or error is None or not 0 <= error < 1:
                continue
            if name == "measure":
                readout[on[0]] = float(error)
            elif len(on) == 2:
                pair = min(on), max(on)
                couplings[pair] = min(float(error), couplings.get(pair, 1.0))
    return readout, couplings


def _scale(drawn: ErrorMap) -> ScalarMappable:
    errors = drawn.errors or [0.01]
    low, high = min(errors), max(errors)
    return ScalarMappable(LogNorm(low / 1.05, high * 1.05), _COLOURS)


def _write_percent(numbers: Axis) -> None:
    numbers.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    numbers.set_minor_locator(NullLocator())
    numbers.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g}%"))


def _draw(axis: Axes, drawn: ErrorMap, places: NDArray[np.float64], pitch: float, scale: ScalarMappable) -> None:
    digits = max(2, len(str(drawn.chip.num_qubits - 1)))
    font = min(10.0, 0.7 * 0.6 * pitch / digits * 1.4)
    for pair in drawn.chip.couplings:
        at, is_used = places[list(pair)].T, pair in drawn.used_couplings
        if is_used:
            axis.plot(*at, color=INK, linewidth=0.17 * pitch + 2.4, zorder=1, solid_capstyle="butt")
        axis.plot(*at, color=_colour(scale, drawn.couplings.get(pair)), linewidth=0.17 * pitch, zorder=2)
    for qubit in range(drawn.chip.num_qubits):
        colour, is_used = _colour(scale, drawn.readout.get(qubit)), qubit in drawn.used_qubits
        rim: Any = {"markeredgecolor": INK, "markeredgewidth": 2.2} if is_used else {"markeredgewidth": 0}
        look: Any = {"marker": "o", "markersize": 0.56 * pitch, "zorder": 3, **rim}
        axis.plot(*places[qubit], color=colour, **look)
        if font >= _LEAST_FONT:
            ink = readable_on(colour)
            where: Any = {"ha": "center", "va": "center_baseline", "zorder": 4, "fontsize": font}
            x, y = places[qubit]
            axis.text(x, y, str(qubit), color=ink, **where)


def _colour(scale: ScalarMappable, error: float | None) -> tuple[float, ...]:
    if error is None:
        return 0.54, 0.565, 0.592, 1.0
    low, high = scale.get_clim()
    return tuple(scale.to_rgba(np.clip(error, low, high)))


def _explain(figure: Figure) -> None:
    dot: Any = {"linestyle": "", "marker": "o", "markersize": 9, "color": _UNKNOWN}
    kinds = {"used by the circuit": {**dot, "mec": INK, "mew": 2.0}, "not used": {**dot, "mew": 0}}
    handles = [Line2D([], [], **look) for look in kinds.values()]
    add_legend(figure, handles, list(kinds), loc="outside lower left", ncols=2, handletextpad=0.2)


def _marks(drawn: ErrorMap, places: NDArray[np.float64]) -> list[Mark]:
    def said(error: float | None, what: str) -> str:
        return f"{what} unknown" if error is None else f"{what} {error:.3%}"

    marks = []
    for qubit, (x, y) in enumerate(places.tolist()):
        used = ", used" if qubit in drawn.used_qubits else ""
        marks.append(Mark(x, y, f"Qubit {qubit}{used}: {said(drawn.readout.get(qubit), 'readout error')}"))
    for pair in drawn.chip.couplings:
        x, y = map(float, places[list(pair)].mean(axis=0))
        used = ", used" if pair in drawn.used_couplings else ""
        text = f"Coupling {pair[0]}–{pair[1]}{used}: {said(drawn.couplings.get(pair), 'two-qubit error')}"
        marks.append(Mark(x, y, text))
    return marks
