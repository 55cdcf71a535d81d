"""The best round of a run, and when it ends early, from its records alone."""

from types import SimpleNamespace

import pytest

from qiskit_fedqml.results.best_round import ProgressMade


def record(round, loss, accuracy=0.5, validation=None):
    validation_loss, validation_accuracy = validation or (None, None)
    return SimpleNamespace(
        **{"round": round, "test_loss": loss, "test_accuracy": accuracy},
        **{"validation_loss": validation_loss, "validation_accuracy": validation_accuracy},
    )


def made(losses, *, patience=2, min_delta=0.0, metric="loss", keep_best="loss"):
    stop = SimpleNamespace(patience=patience, min_delta=min_delta, metric=metric)
    config = SimpleNamespace(stop=stop, keep_best=keep_best)
    return ProgressMade.of(
        SimpleNamespace(federation=config, privacy=None), [record(i, *of) for i, of in enumerate(losses, start=1)]
    )


@pytest.mark.parametrize(
    ("losses", "options", "best", "waited"),
    [
        ([], {}, 0, 0),
        ([(1.0,)], {}, 1, 0),
        ([(1.0,), (0.9,), (0.9,)], {}, 2, 1),  # as good is not better, and the first of them is kept
        ([(1.0,), (0.95,), (0.9,)], {"min_delta": 0.1}, 3, 2),  # better, but never by enough
        ([(1.0,), (0.95,), (0.89,)], {"min_delta": 0.1}, 3, 0),
        ([(1.0, 0.5), (2.0, 0.6), (0.5, 0.6)], {"metric": "accuracy", "keep_best": "accuracy"}, 2, 1),
        ([(1.0, 0.5), (2.0, 0.6), (0.5, 0.6)], {"metric": "accuracy"}, 3, 1),
        ([(1.0, 0.5, (3.0, 0.1)), (2.0, 0.6, (2.0, 0.0))], {}, 2, 0),  # validation data count, where there are some
        ([(1.0,), (0.9,)], {"keep_best": None}, 0, 0),
    ],
)
def test_best_round_and_rounds_since(losses, options, best, waited):
    progress = made(losses, **options)
    assert (progress.best_round, progress.waited) == (best, waited)
    assert progress.has_ended == (waited >= 2)


def test_records_are_not_read_where_nothing_is_asked():
    config = SimpleNamespace(stop=None, keep_best=None)
    experiment = SimpleNamespace(federation=config, privacy=None)
    assert not ProgressMade.of(experiment, (1 / 0 for _ in range(3))).has_ended


@pytest.mark.parametrize(("following", "is_spent"), [(3.0, False), (3.1, True)])
def test_a_run_ends_where_one_more_round_would_pass_its_ceiling(following, is_spent):
    experiment = SimpleNamespace(
        federation=SimpleNamespace(stop=None, keep_best=None), privacy=SimpleNamespace(epsilon=3.0)
    )
    records = [SimpleNamespace(round=1, next_epsilon=2.0), SimpleNamespace(round=2, next_epsilon=following)]
    assert ProgressMade.of(experiment, records).has_ended == is_spent
