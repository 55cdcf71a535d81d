"""Values and keys of fuzzed configuration: plausible ones, wrong ones, and those that have broken YAML readers."""

from typing import Any

from parts.fuzz_cases import TINY

BACKENDS: dict[str, Any] = {
    "backends": {
        "ideal": {"type": "aer"},
        "manila": {"type": "aer", "noise": "FakeManilaV2", "shots": 16, "noise_factor": 2.0},
        "stated": {
            "type": "aer",
            "noise": {
                "depolarizing": {"one_qubit": 0.01, "two_qubit": 0.02},
                "amplitude_damping": {"one_qubit": 0.01},
                "readout": {"read_1_if_0": 0.1, "read_0_if_1": 0.1},
            },
            "shots": 50,
            "mitigation": {"readout": True, "zne": {"factors": [1, 3], "extrapolator": "exponential"}},
        },
        "saved": {"type": "aer", "noise": {"calibration": "manila.json"}},
        "device": {
            **{"type": "ibm", "device": "ibm_kingston", "mode": "batch", "shots": 64, "layout_trials": 2},
            **{"gradient": {"spsa": {"perturbation": 0.2}}, "waiting": {"poll_seconds": 1.0}, "options": {"a": 1}},
            **{"budget_seconds": 10.0, "max_execution_seconds": 100, "price_per_minute": 96.0},
        },
        "rehearsed": {"type": "ibm", "device": "FakeManilaV2", "initial_layout": [0, 1]},
        "quiet": {"type": "ibm", "device": {"least_busy": {"min_qubits": 5, "processor": "Heron"}}},
    },
    "assignment": {
        "server": "ideal",
        "default": {"cycle": ["ideal", "stated"]},
        "clients": {0: "stated", "1-2": "ideal"},
    },
    "budget_seconds": 100.0,
}
FULL = {
    **TINY,
    "data": {**TINY["data"], "validation_fraction": 0.1, "partition": {"scheme": "dirichlet", "alpha": 1.0}},
    "features": {"scaling": {"method": "client_sums", "per_feature": True, "center": True}},
    "federation": {
        **{**TINY["federation"], "local_epochs": 1, "optimizer": "adam", "proximal_mu": 0.1, "workers": 1},
        **{"lockstep": 2, "client_seconds": 60.0},
        **{"on_client_failure": "skip", "min_clients": 1, "on_too_few": "repeat"},
    },
    "checkpoints": {"keep": 2, "every": 1},
    "aggregation": {"success_exponent": 0.0, "angles": "circular", "server_optimizer": {"method": "fedadam"}},
    "evaluation": {"backends": ["stated"]},
    "backends": {"backends": {key: BACKENDS["backends"][key] for key in ("ideal", "stated")}},
    "tracking": {"tensorboard": False, "mlflow": None},
}
"""An experiment with every key of a synchronous federation."""

_SCHEDULED = {
    "queue": {"lognormal": {"median_seconds": 60.0, "sigma": 1.0}},
    "queues": {"stated": {"trace": [[0, 60], [3600, 1800.5]]}},
    "job_seconds": 2.0,
    "execution_seconds": 3.5e-4,
    "policy": {"best": {"success_exponent": 1.0, "age_half_life_hours": 24.0}},
}
_AT_WORK = {"buffer": 2, "staleness_exponent": 0.5, "max_staleness": 3}
SCHEDULED: dict[str, Any] = {
    **TINY,
    "federation": {**TINY["federation"], "clients_per_round": 3, "algorithm": {"buffered": _AT_WORK}, "min_clients": 1},
    "backends": {
        "backends": {key: BACKENDS["backends"][key] for key in ("ideal", "stated")},
        "assignment": {"default": {"cycle": ["ideal", "stated"]}},
    },
    "checkpoints": {"keep": 1, "every": 2},
    "scheduling": _SCHEDULED,
}
"""An asynchronous one in simulated time."""
_LATER = {"quito": {"type": "aer", "noise": "FakeQuitoV2"}, "manila": {"type": "aer", "noise": "FakeManilaV2"}}
REPLAYED: dict[str, Any] = {
    **TINY,
    "backends": {"backends": {"ideal": {"type": "aer"}, **_LATER}, "assignment": {"default": "quito"}},
    "scheduling": {
        "queue": {"trace": [[0, 60], [3600, 1800]]},
        "policy": "assigned",
        "replay": {"start": "2021-03-01T12:00:00Z", "later": {"quito": ["manila"]}},
    },
}
"""A synchronous one in simulated time, in which calibrations follow each other."""
QUEUED: dict[str, Any] = {
    **TINY,
    "federation": {**TINY["federation"], "algorithm": {"buffered": {"buffer": 1}}, "on_client_failure": "skip"},
    "backends": {
        "backends": {"ideal": {"type": "aer"}, "device": {"type": "ibm", "device": "FakeManilaV2", "shots": 16}},
        "assignment": {"clients": {0: "device"}, "default": "ideal"},
        "budget_seconds": 1e6,
    },
}
"""An asynchronous one in real time, on a rehearsed device."""


_NUMBERS = (
    *[
        "0b",
        "0o",
        "0x",
        "0b2",
        "0x_",
        "1_:2",
        "1:60:99",
        "1:2.5",
        "._",
        "+.",
        "1e",
        "1e400",
        "-.inf",
        ".nan",
        ".inf",
        "1_000",
        "007",
        "08",
        "0",
        "-1",
        "1",
        "0.5",
        "-0.0",
    ],
    *("1e-320", "1e308", "1000000000", str(2**31), str(2**63), str(2**64), str(10**30), "9" * 5000, "-" + "9" * 5000),
    *("0x" + "f" * 5000, "1" + "0" * 400, "1" + "0" * 400 + ".0"),
)
_TAGS = (
    *["2001-99-99", "2001-01-01T99:99:99", "2001-02-30", "2001-01-01", "!!timestamp x", "!!timestamp 2001-13-01"],
    *['!!int ""', "!!int x", "!!int [1]", "!!float x", '!!float "1_"', '!!float ""', "!!bool x", "!!bool [1]"],
    *["!!null x", '!!binary "###"', "!!binary é", "!!binary YQ==", "!!set {a, b}", "!!set [a]", "!!omap [a: 1]"],
    *[
        "!!omap x",
        "!!omap [1]",
        "!!pairs [a: 1]",
        "!!pairs x",
        "!!map [1]",
        "!!seq {a: 1}",
        "!!str [1]",
        "!!str {a: 1}",
    ],
    *["!!python/object/apply:os.system [id]", "!!python/name:os.system", "!!python/tuple [1]", "!foo bar", "!<x> y"],
)
_SHAPES = (
    *[
        "*unknown",
        "&a [*a]",
        "&a {x: *a}",
        "{<<: 1}",
        "{<<: [1]}",
        "{<<: {a: 1}, a: 2}",
        "{<<: [{a: 1}, 2]}",
        "=",
        "<<",
    ],
    *["{? [1] : 2}", "{? {a: 1} : 2}", "{null: 1}", "{2001-01-01: 1}", "{1.5: 2}", "{.nan: 1, .nan: 2}", "{true: 1}"],
    *[
        "[null]",
        "[1, 1]",
        "[0, 1, 2, 3]",
        "[ideal, ideal]",
        "[1000000, 1000000]",
        "[1000000000]",
        "[]",
        "{}",
        "[[]]",
        "[{}]",
    ],
    *("[" * 100, "[" * 3000, "[" * 3000 + "]" * 3000, "{a: " * 1000 + "1" + "}" * 1000, "[1000000000, 1000000000]"),
    *(f"[{', '.join(map(str, range(2000)))}]", f"[{', '.join(f'name{i}' for i in range(2000))}]", "|", ">", "- 1"),
)
_WORDS = (
    *[
        "true",
        "no",
        "~",
        '""',
        "''",
        '"\\0"',
        '"\\ud800"',
        '"\\udcff"',
        '"\\U00110000"',
        '"\\xZZ"',
        '"$\\\\frac{"',
        '"\\n"',
        "<script>",
        "../../etc",
        "a/b",
    ],
    *(
        "\t",
        '"\t"',
        "x" * 100_000,
        '"\u202eabc"',
        *["@", "`", "%", "!", "&", "*", "ideal", "stated", "digits", "npz", "cifar10", "image_folder"],
    ),
    *[
        "sgd",
        "keep",
        "paper",
        "qcnn",
        "tree",
        "reuploading",
        "classical",
        "aer",
        "ibm",
        "sweep",
        "FakeManilaV2",
        "FakeNone",
        "fedavgm",
    ],
    *["quantity_skew", "label_shards", "circular", "constant"],
)
VALUES = (*_NUMBERS, *_TAGS, *_SHAPES, *_WORDS)
"""Values as YAML has them, most of them wrong wherever they stand."""

PLAUSIBLE = (
    *[
        "0",
        "1",
        "2",
        "3",
        "5",
        "8",
        "20",
        "0.1",
        "0.5",
        "1.0",
        "2.5",
        "1e-3",
        "100",
        "1000",
        "10000",
        "100000",
        "1000000",
        "ideal",
        "stated",
        "true",
        "false",
        "null",
        "{}",
        "[]",
    ],
    *("[0, 1]", "[1, 0]", "[5]", "[100000]", "[ideal]"),
)
"""Values that fit somewhere."""

KEYS = (
    *[
        "0-999999999",
        "5-1",
        "٣",
        "²",
        "0x1",
        "-1",
        "1-",
        "1-2-3",
        ".",
        "3",
        "type",
        "seed",
        "a.b",
        "$x",
        "<<",
        "=",
        "null",
        "true",
        "0",
        "00",
        "1-1",
        "2-2",
        "é",
    ],
    *("9" * 5000, "0-" + "9" * 400, "", " ", "\ud800", "\0", "x" * 5000),
)
"""Keys that no section has, or that are odd names of clients."""
