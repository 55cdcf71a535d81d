"""Time a training step of Table I's head, its large layers by oneDNN and by torch's own, in pairs in one process.

    python experiments/benchmark_head.py --threads 2

Prints medians and their ratio, and appends a line to head.jsonl in the folder of results.
"""

import json
import os
import platform
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from parts.command_line import ScriptParser, positive, run_script
from torch import nn

from qiskit_fedqml.model.linear import OneDnnLinear
from qiskit_fedqml.tables import markdown_table

PARTS = ("forward", "backward", "Adam")


def head(kind: type[nn.Linear], widths: Sequence[int]) -> nn.Sequential:
    """Return Table I's head without dropout, down to the 4 inputs of the circuit."""
    hidden = [module for a, b in pairwise(widths) for module in (kind(a, b), nn.ReLU())]
    return nn.Sequential(*hidden, nn.Linear(widths[-1], 4))


def step_seconds(model: nn.Module, optimizer: torch.optim.Optimizer, features: torch.Tensor) -> list[float]:
    """Return the seconds of a step's three parts."""
    marks = [time.perf_counter()]
    optimizer.zero_grad()
    loss = model(features).square().sum()
    marks.append(time.perf_counter())
    loss.backward()
    marks.append(time.perf_counter())
    optimizer.step()
    marks.append(time.perf_counter())
    return [after - before for before, after in pairwise(marks)]


def measure(widths: Sequence[int], batch: int, steps: int) -> dict[str, list[float]]:
    """Return the median milliseconds of each part by torch's own BLAS and by oneDNN, with steps in turn.

    Args:
        widths: Features and hidden widths.
        batch: Examples of a step.
        steps: Steps that are counted; two more come before them.
    """
    models = {"torch": head(nn.Linear, widths), "oneDNN": head(OneDnnLinear, widths)}
    models["oneDNN"].load_state_dict(models["torch"].state_dict())
    optimizers = {name: torch.optim.Adam(m.parameters(), lr=1e-4, fused=True) for name, m in models.items()}
    features = torch.rand(batch, widths[0], generator=torch.Generator().manual_seed(0))
    expected, found = (model(features) for model in models.values())
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    times: dict[str, list[list[float]]] = {name: [] for name in models}
    for _ in range(steps + 2):
        for name, model in models.items():
            times[name].append(step_seconds(model, optimizers[name], features))
    return {name: [1000 * float(t) for t in np.median(of[2:], axis=0)] for name, of in times.items()}


def processor() -> str:
    """Return the processor's name."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def main() -> None:
    """Measure, print and keep."""
    parser = ScriptParser(__file__, __doc__, smallest={"features": 2048, "widths": [2048], "steps": 2})
    parser.add_argument(
        "--threads", type=positive, default=torch.get_num_threads(), help="of torch (default: %(default)s)"
    )
    parser.add_argument("--features", type=positive, default=8192, help="inputs of the head (default: %(default)s)")
    parser.add_argument(
        "--widths", type=positive, nargs="+", default=[4096, 4096], help="of its hidden layers (default: %(default)s)"
    )
    parser.add_argument("--batch", type=positive, default=32, help="examples of a step (default: %(default)s)")
    parser.add_argument("--steps", type=positive, default=20, help="steps that are timed (default: %(default)s)")
    arguments = parser.parse_args()
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # as the package does before it trains
    torch.set_num_threads(arguments.threads)
    widths = [arguments.features, *arguments.widths]
    found = measure(widths, arguments.batch, arguments.steps)
    rows = [
        {"Linear layers by": name, **dict(zip(PARTS, map(_ms, times), strict=True)), "Step": _ms(sum(times))}
        for name, times in found.items()
    ]
    print(markdown_table(rows))
    ratio = sum(found["torch"]) / sum(found["oneDNN"])
    print(f"{ratio:.2f} times as fast by oneDNN: batch {arguments.batch}, {arguments.threads} threads, {processor()}")
    line = {"widths": widths, "batch": arguments.batch, "threads": arguments.threads, "ms": found, "ratio": ratio}
    line |= {"processor": processor(), "torch": torch.__version__}
    arguments.out.mkdir(parents=True, exist_ok=True)
    with (arguments.out / "head.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _ms(value: float) -> str:
    return f"{value:.1f} ms"


if __name__ == "__main__":
    run_script(main)
