from dataclasses import asdict

import pytest

from qiskit_fedqml.planning.work import Item, Work, work_of


def test_parts_add_up_to_the_whole():
    whole = Work(jobs=2, circuits=7, executions=1001, qpu_seconds=3.5, payload_bytes=99, price_usd=1.25)
    parts = [whole.part(low, high, 5) for low, high in ((0, 1), (1, 3), (3, 5))]
    assert asdict(sum(parts, Work())) == pytest.approx(asdict(whole))
    assert [part.jobs for part in parts] == [2, 0, 0]
    assert parts[0].price_usd == pytest.approx(0.25)


def test_work_of_items_is_by_backend():
    items = [Item(1, client, name, True, 1, Work(executions=client)) for client, name in ((1, "a"), (2, "b"), (4, "a"))]
    assert {name: work.executions for name, work in work_of(items).items()} == {"a": 5, "b": 2}
