"""The paper's circuit in PennyLane's words; nothing here imports this package, Qiskit, or PennyLane."""


def paper_gates(qml, atan, x, w) -> None:
    """Queue the paper's circuit (Fig. 3) for inputs ``x[..., q]``."""
    for q in range(4):
        qml.RY(atan(x[..., q]), wires=q)
        qml.RZ(atan(x[..., q] ** 2), wires=q)
    angle = iter(range(24))
    for _ in range(2):
        for q in range(4):
            qml.CNOT(wires=[q, (q + 1) % 4])
        for q in range(4):
            qml.RZ(w[next(angle)], wires=q)
            qml.RY(w[next(angle)], wires=q)
            qml.RZ(w[next(angle)], wires=q)
