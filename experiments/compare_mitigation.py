"""What mitigation does to a machine's values: slopes against ideal values, errors with shots, and what it costs.

Evaluates the paper's circuit at random angles on several devices: as they are, with mitigated readout, extrapolated to
zero noise, and both. The slope is that of the values against the ideal ones, 1 being ideal.

    python experiments/compare_mitigation.py
    python experiments/compare_mitigation.py --devices FakeManilaV2 FakeFez --samples 50
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from parts.command_line import ScriptParser, positive, run_script
from parts.mitigation_slopes import Slope, measure

from qiskit_fedqml.files import write_text
from qiskit_fedqml.report.drawing import COLOURS, save_figure
from qiskit_fedqml.study.summary import write_csv
from qiskit_fedqml.tables import markdown_table

_DEVICES = ("FakeManilaV2", "FakeNairobiV2", "FakeJakartaV2", "FakeQuitoV2", "FakeFez")
_DRAWN = ("none", "readout", "readout, exponential")
_MOST_POINTS = 60


def slope_rows(found: list[Slope]) -> list[dict[str, str]]:
    """Return a row for each device: the slope of exact values by each method."""
    rows: dict[str, dict[str, str]] = {}
    for one in found:
        rows.setdefault(one.device, {"Device": one.device})[one.method] = f"{one.slope:.3f}"
    return list(rows.values())


def error_rows(found: list[Slope]) -> list[dict[str, str]]:
    """Return a row for each device: the root mean square error of values with shots by each method."""
    rows: dict[str, dict[str, str]] = {}
    for one in found:
        rows.setdefault(one.device, {"Device": one.device})[one.method] = f"{one.error_with_shots:.3f}"
    cost = {one.method: f"{one.cost:g}" for one in found}
    return [*rows.values(), {"Device": "executions, in those without mitigation", **cost}]


def figure_of(found: list[Slope]) -> Figure:
    """Draw exact values against ideal ones, a panel for each device."""
    devices = list(dict.fromkeys(one.device for one in found))
    figure = Figure(figsize=(3 * len(devices), 3.9), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(devices), sharey=True, squeeze=False)[0])
    for axis, device in zip(axes, devices, strict=True):
        drawn = {one.method: one for one in found if one.device == device and one.method in _DRAWN}
        for colour, (method, one) in zip(COLOURS, drawn.items(), strict=False):
            x, y = (_few(values) for values in (one.ideal, one.exact))
            axis.plot(x, y, "o", color=colour, markersize=2.5, alpha=0.7, label=method)
        axis.axline((0, 0), slope=1, color="0.4", linewidth=1, linestyle="--")
        axis.set(title=device, xlabel="Ideal value")
        axis.grid(alpha=0.3, linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("Value on the device")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return figure


def _few(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values.ravel()[:_MOST_POINTS]


def compare(devices: list[str], out: Path, *, samples: int, shots: int) -> None:
    """Measure all methods on all devices, and write tables and a figure."""
    found = [slope for device in devices for slope in measure(device, samples=samples, shots=shots)]
    write_csv([one.line() for one in found], out / "slopes.csv")
    write_csv(slope_rows(found), out / "table.csv")
    save_figure(figure_of(found), out / "slopes")
    text = (
        f"{markdown_table(slope_rows(found))}\n{markdown_table(error_rows(found))}\n"
        f"The paper's circuit, its two outputs at {samples} draws of all angles. First table: slopes of exact values\n"
        f"against ideal ones; 1 is ideal. Second table: root mean square errors with {shots:,} shots of each circuit.\n"
        "`linear` and `exponential` extrapolate from noise factors 1 and 3.\n"
    )
    write_text(out / "results.md", text)
    print(text)


def main() -> None:
    """Run the comparison."""
    parser = ScriptParser(__file__, __doc__, smallest={"devices": ["FakeManilaV2", "FakeQuitoV2"], "samples": 20})
    parser.add_argument("--devices", nargs="+", default=list(_DEVICES), help="fake devices (default: %(default)s)")
    parser.add_argument("--samples", type=positive, default=200, help="draws of the angles (default: %(default)s)")
    parser.add_argument("--shots", type=positive, default=1024, help="of each circuit (default: %(default)s)")
    arguments = parser.parse_args()
    compare(arguments.devices, arguments.out, samples=arguments.samples, shots=arguments.shots)


if __name__ == "__main__":
    run_script(main)
