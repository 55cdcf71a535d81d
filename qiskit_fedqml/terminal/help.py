"""The help of each command: its docstring, and examples."""

import inspect
from collections.abc import Callable

EXAMPLES = {
    "fedqml": ("fedqml init", "fedqml run experiments/digits.yaml --backends backends.yaml"),
    "run": (
        "fedqml run experiments/digits.yaml",
        "fedqml run experiments/digits.yaml --out results/noisy --backends backends.yaml",
        "fedqml run experiments/digits.yaml --set federation.rounds=3 --set data.partition.scheme=iid",
        "fedqml run experiments/digits.yaml --dry-run",
    ),
    "resume": ("fedqml resume results/digits", "fedqml resume results/digits --budget kingston=60"),
    "extend": ("fedqml extend results/digits --rounds 20",),
    "deploy": ("fedqml deploy experiments/digits.yaml deployment --shards --address quantum.example.org:8000",),
    "plan": (
        "fedqml plan experiments/rehearsal.yaml --queue-seconds 60",
        "fedqml plan experiments/rehearsal.yaml --fit 10min --json -",
    ),
    "privacy": (
        "fedqml privacy private.yaml",
        "fedqml privacy private.yaml --epsilon 3 --rounds 40",
    ),
    "jobs": ("fedqml jobs results/rehearsal", "fedqml jobs results/rehearsal --cancel"),
    "compare": (
        "fedqml compare results/ideal results/noisy",
        "fedqml compare experiments/digits.yaml results/noisy --out results/both",
    ),
    "report": ("fedqml report results/ideal results/noisy --out report",),
    "evaluate": (
        "fedqml evaluate results/digits",
        "fedqml evaluate results/digits --backend ideal --backend quito --backends backends.yaml",
    ),
    "predict": (
        "fedqml predict results/pictures new/cat.jpg new/ --out predictions.csv",
        "fedqml predict results/digits features.csv --backend manila --backends backends.yaml",
    ),
    "export": ("fedqml export results/digits model.pt2", "fedqml export results/digits model.onnx"),
    "study": ("fedqml study study.yaml --workers 2",),
    "citation": ("fedqml citation experiments/planes_vs_cars.yaml results/noisy",),
    "ledger": ("fedqml ledger verify results/digits", "fedqml ledger show results/digits"),
    "backends": (
        "fedqml backends --check",
        "fedqml backends --map manila --out maps",
        "fedqml backends --save-calibration FakeManilaV2 my_device.json",
    ),
    "config": (
        "fedqml config experiments/digits.yaml --defaults",
        "fedqml config --explain federation.learning_rate",
        "fedqml config --schema > experiment.schema.json",
    ),
    "init": (
        "fedqml init",
        "fedqml init my_federation --data photos --clients 10 --machines noisy",
    ),
}


def epilog_of(command: str) -> str:
    """Return what a command's help ends with: blank lines are line breaks there."""
    examples = EXAMPLES.get(command, ())
    return "\n\n".join(["Examples:" if len(examples) > 1 else "Example:", *examples]) if examples else ""


def help_of(command: Callable[..., object]) -> str:
    """Return a command's docstring with a line for each paragraph, which a terminal breaks where it ends."""
    paragraphs = (inspect.getdoc(command) or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
