import pytest

from qiskit_fedqml.report.cells import loss_cell, percent_cell
from qiskit_fedqml.report.numbers import as_numbers
from qiskit_fedqml.tables import about, duration, gibibytes

HALF = "half-width of 95% interval"


@pytest.mark.parametrize(
    ("cells", "columns"),
    [
        ([percent_cell([0.8, 0.9, 0.7]), "–"], {"X (%)": ["80.00", ""], f"X (%), {HALF}": ["24.84", ""]}),
        ([loss_cell([0.5, 0.7])], {"X": ["0.6000"], "X, least": ["0.5000"], "X, greatest": ["0.7000"]}),
        (["+4.67 ± 8.80", ""], {"X": ["4.67", ""], f"X, {HALF}": ["8.80", ""]}),
        (
            [percent_cell([0.5, 0.6]), "50.00%"],
            {"X (%)": ["55.00", "50.00"], "X (%), least": ["50.00", ""], "X (%), greatest": ["60.00", ""]},
        ),
        ([duration(s) for s in (0.04, 4.8, 62, 25_500)], {"X (s)": ["0.04", "4.8", "62", "25500"]}),
        (["9.5 s planned", "1 min 2 s"], {"X (s)": ["9.5", "62"], "X (s), planned": ["yes", ""]}),
        ([gibibytes(3 * 2**30), gibibytes(0)], {"X (GiB)": ["3.0", ""]}),
        (["1,234,567", "exact"], {"X": ["1234567", "exact"]}),
        (["US$ 40,155.29"], {"X (US$)": ["40155.29"]}),
        (["-1.234e+09 ± 2.000e+07"], {"X": ["-1.234e+09"], f"X, {HALF}": ["2.000e+07"]}),
    ],
)
def test_numbers_intervals_and_units_come_apart(cells, columns):
    rows = as_numbers([{"Name": str(k), "X": cell} for k, cell in enumerate(cells)])
    assert list(rows[0]) == ["Name", *columns]
    assert {column: [row[column] for row in rows] for column in columns} == columns


@pytest.mark.parametrize("cells", [["ideal", "12"], ["12 of 20"], ["5%", "3 s"], ["–"], ["1,2"], ["no change", ""]])
def test_what_is_no_column_of_numbers_stays(cells):
    rows = [{"Name": str(k), "X": cell} for k, cell in enumerate(cells)]
    assert as_numbers(rows) == rows


def test_names_of_rows_stay_and_gaps_are_empty():
    assert as_numbers([{"Scheme": "5%", "X": "1"}, {"Scheme": "1,000"}]) == [
        {"Scheme": "5%", "X": "1"},
        {"Scheme": "1,000", "X": ""},
    ]


def test_an_estimate_has_no_more_digits_than_it_is_worth():
    estimates = [about(seconds) for seconds in (0.09, 4.4, 12.6, 57.8, 94.9, 130.0, 5390.0, 6000.0, 99_999.0)]
    assert estimates == [
        *("less than 1 s", "about 4 s", "about 15 s", "about 60 s", "about 90 s"),
        *("about 2 min", "about 90 min", "about 1.7 h", "about 28 h"),
    ]
