"""Tables: columns, categories and missing values; read by pyarrow, without which only its error is looked at."""

import sys

import numpy as np
import pytest

from qiskit_fedqml.config.own_data import TableData
from qiskit_fedqml.data.columns import Columns
from qiskit_fedqml.data.table import table
from qiskit_fedqml.errors import DataError

ROWS = """age,bmi,ward,member,seen,sick
30,20.5,A,true,2024-01-01,no
40,,B,false,2024-01-02,yes
50,25.0,A,true,2024-01-03,no
60,30.5,C,true,2024-01-04,yes
70,28.0,B,false,,no
80,33.0,A,false,2024-01-06,yes
"""
TESTS = "sick,ward,bmi,age,member,seen\nyes,B,21,33,true,\nno,D,22,44,false,\n"


def load(text=ROWS, tests=TESTS, **keys):
    pytest.importorskip("pyarrow")
    for name, content in (("patients.csv", text), ("more.csv", tests)):
        with open(name, "w", encoding="utf-8") as file:
            file.write(content)
    split = {} if "test_fraction" in keys else {"test_path": "more.csv"}
    config = TableData(**{"dataset": "table", "path": "patients.csv", "label": "sick", **split, **keys})
    return table(config, np.random.default_rng(0))


def test_numeric_columns_are_the_features_and_others_are_named(here, caplog):
    dataset = load(missing="drop")
    assert dataset.classes == ("no", "yes")
    np.testing.assert_array_equal(dataset.train.inputs[0], np.float32([30, 20.5, 1]))
    np.testing.assert_array_equal(dataset.test.inputs, np.float32([[33, 21, 1], [44, 22, 0]]))
    assert dataset.train.labels.tolist() == [0, 0, 1, 0, 1]
    assert dataset.test.labels.tolist() == [1, 0]
    assert (
        "patients.csv: features are the 3 numeric columns age, bmi, member. Left out, as not numeric: ward, seen; "
        in caplog.text
    )
    assert "identifier" not in caplog.text
    assert dataset.columns == Columns(("age", "bmi", "member"), (), ("ward", "seen"), {"bmi": 1}, 1)
    assert "patients.csv lacks 1 value (1 in bmi); 1 of 6 rows are left out." in caplog.text
    caplog.clear()
    load(missing="drop", features=["age", "bmi"])
    assert "features are" not in caplog.text  # the file says so itself


def test_categories_are_one_hot_after_the_numbers(here, caplog):
    dataset = load(features=["age"], categories=["ward", "member"])
    expected = [[30, 1, 0, 0, 0, 1], [40, 0, 1, 0, 1, 0]]
    np.testing.assert_array_equal(dataset.train.inputs[:2], np.float32(expected))
    np.testing.assert_array_equal(dataset.test.inputs[1], np.float32([44, 0, 0, 0, 1, 0]))
    assert "Column 'ward': the training data have no ['D']; such test data are 0 there." in caplog.text
    assert load(features=[], categories=["ward"]).train.inputs.shape == (6, 3)


def test_missing_values_get_the_mean_of_the_training_data(here, caplog):
    tests = "sick,bmi,age\nyes,,33\nno,22,\n"
    dataset = load(features=["age", "bmi"], missing="mean", tests=tests)
    mean = np.mean([20.5, 25, 30.5, 28, 33])
    np.testing.assert_allclose(dataset.train.inputs[1], [40, mean])
    np.testing.assert_allclose(dataset.test.inputs, [[33, mean], [55, 22]])
    assert "patients.csv lacks 1 value (1 in bmi), which get the mean of the training data." in caplog.text
    assert "more.csv lacks 2 values (1 in age, 1 in bmi), which get the mean of the training data." in caplog.text
    assert dataset.columns.missing == {"bmi": 2, "age": 1}  # of both files
    assert dataset.columns.dropped_rows == 0


def test_a_part_becomes_test_data_class_by_class(here):
    dataset = load(features=["age"], test_fraction=0.4)
    assert sorted([*dataset.train.inputs[:, 0], *dataset.test.inputs[:, 0]]) == [30, 40, 50, 60, 70, 80]
    assert np.bincount(dataset.test.labels).tolist() == [1, 1]


def test_numbers_that_are_all_different_may_be_identifiers(here, caplog):
    rows = [f"{k},{k % 3},{k / 2},{k % 2}" for k in range(10)]
    load("\n".join(["patient,age,size,sick", *rows]), test_fraction=0.4)
    assert "Whole numbers that are all different, as those of an identifier: patient; if it is one, name" in caplog.text
    caplog.clear()
    load("\n".join(["patient,age,size,sick", *rows[:9]]), test_fraction=0.4)
    assert "features are the 3 numeric columns patient, age, size." in caplog.text
    assert "identifier" not in caplog.text  # too few rows to tell


def test_a_label_that_is_misspelt_is_not_taken_for_a_feature(here, caplog):
    with pytest.raises(DataError, match="has no column 'sik'; did you mean 'sick'"):
        load(label="sik", missing="drop")
    assert not caplog.text


def test_parquet_gives_the_same_as_csv(here):
    pytest.importorskip("pyarrow")
    from pyarrow import csv, parquet

    load(missing="drop")
    columns = csv.read_csv("patients.csv", convert_options=csv.ConvertOptions(strings_can_be_null=True))
    coded = columns.set_column(2, "ward", columns["ward"].dictionary_encode())
    parquet.write_table(coded, "patients.parquet")
    keys = {"categories": ["ward"], "missing": "drop"}
    from_csv, from_parquet = load(**keys), load(**keys, path="patients.parquet")
    np.testing.assert_array_equal(from_csv.train.inputs, from_parquet.train.inputs)
    np.testing.assert_array_equal(from_csv.train.labels, from_parquet.train.labels)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [((10, 9, 10), ("9", "10")), (("true", "false", "true"), ("0", "1")), ((1.0, 0.0, 1.0), ("0", "1"))],
)
def test_labels_of_several_kinds(here, labels, classes):
    text = "x,y\n" + "".join(f"{k},{label}\n" for k, label in enumerate(labels))
    dataset = load(text, text, label="y")
    assert dataset.classes == classes
    assert dataset.train.labels.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {},
            r"patients.csv \(row 1 is the first after the header\): column 'bmi' lacks a value, first in row 2. `data",
        ),
        ({"path": "no.csv"}, "There is no 'no.csv'"),
        ({"path": "."}, "must be a .csv or a .parquet file"),
        ({"label": "sik"}, "has no column 'sik'; did you mean 'sick'"),
        ({"features": ["agee"]}, "has no column 'agee'; did you mean 'age'"),
        ({"features": ["ward"]}, "column 'ward' must hold numbers to be a feature, but holds text; `data.categories`"),
        ({"features": ["seen"]}, r"column 'seen' must hold numbers .* but holds values of type date32"),
        (
            {"features": ["age"], "categories": ["seen"]},
            "'seen' must hold text or whole numbers to be a label or a cat",
        ),
        ({"features": ["age"], "label": "bmi"}, "column 'bmi' must hold text or whole numbers .* but holds fractions"),
        ({"features": ["age"], "text": "age,sick\n1,no\n2,no\n"}, r"at least two classes, but has only \['no'\]"),
        (
            {"features": ["age"], "text": "age,sick\n1,no\n2,\n", "missing": "mean"},
            "`data.missing: mean` cannot fill sick",
        ),
        ({"features": ["age"], "text": "age,sick\n,no\n2,\n", "missing": "drop"}, "`data.missing: drop` leaves no row"),
        (
            {"features": ["age"], "text": "age,sick\n1,no\n1e60,yes\n"},
            "column 'age' must be finite as float32, but 1 of",
        ),
        ({"features": ["age"], "text": "age,sick\ninf,no\n1,yes\n"}, "column 'age' must be finite"),
        ({"features": ["age"], "text": "age,age,sick\n1,1,no\n"}, r"several \['age'\]"),
        ({"text": ""}, "patients.csv cannot be read as a table: Empty CSV file"),
        ({"text": "age,sick\n"}, "patients.csv has no rows"),
        ({"text": "age,sick\n1\n"}, "cannot be read as a table: CSV parse error: Expected 2 columns, got 1"),
        ({"text": "name,sick\na,no\nb,yes\n"}, r"no numeric column that could be a feature: \['name'\]"),
        ({"features": ["age"], "tests": "age,sick\n1,maybe\n2,no\n"}, r"no examples of the classes \['maybe'\]"),
        ({"features": ["age"], "tests": "age,sick\n1,no\n2,no\n"}, "Each class must have test examples"),
        ({"features": ["age"], "test_fraction": 0.5, "text": "age,sick\n1,no\n2,yes\n3,no\n"}, "at least two examples"),
    ],
)
def test_what_is_wrong_is_named(here, keys, message):
    with pytest.raises(DataError, match=message):
        load(**keys)


def test_a_column_that_is_all_missing_has_no_mean(here):
    with pytest.raises(DataError, match="must hold numbers to be a feature, but holds nothing"):
        load("age,sick\n,no\n,yes\n", features=["age"], missing="mean")
    from pyarrow import parquet
    from pyarrow import table as arrow

    parquet.write_table(arrow({"age": [np.nan, np.nan], "sick": ["no", "yes"]}), "empty.parquet")
    with pytest.raises(DataError, match="Column 'age' has no value in the training data"):
        load(path="empty.parquet", features=["age"], missing="mean")


def test_names_are_no_categories(here):
    rows = "".join(f"{k},p{k},{k % 2}\n" for k in range(1001))
    with pytest.raises(DataError, match="column 'name' has 1,001 values; at most 1,000 are taken"):
        load(f"age,name,sick\n{rows}", f"age,name,sick\n{rows}", categories=["name"])


def test_without_pyarrow_the_extra_is_named(here, monkeypatch):
    (here / "patients.csv").write_text(ROWS)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"pip install 'qiskit-fedqml\[tables\]'"):
        table(
            TableData(dataset="table", path="patients.csv", label="sick", test_fraction=0.5), np.random.default_rng(0)
        )
