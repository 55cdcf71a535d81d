"""The border of YAML: plain values come in, and all else is refused in a sentence, fast and in bounded memory."""

import time
import tracemalloc

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from qiskit_fedqml.config import yaml_files
from qiskit_fedqml.config.yaml_files import MOST_BYTES, dump_yaml, parse_yaml, read_yaml
from qiskit_fedqml.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("1", 1), ("-7", -7), ("+12", 12), ("1_000", 1000), ("0x1f", 31), ("0b11", 3), (str(2**64), 2**64)),
        *(("1e-4", 1e-4), ("1.", 1.0), (".5", 0.5), ("2.5e3", 2500.0), ("-0.0", -0.0), ("1e+3", 1000.0)),
        *(("true", True), ("no", False), ("~", None), ("", None), ("'1'", "1"), ("word", "word"), ('"\\t"', "\t")),
        *((text, text) for text in ("2024-05-01", "2001-99-99", "1:30", "1_:2", "010", "0o7", "0b", "0b2", "1e", "._")),
        *(("=", "="), ("[1, [a]]", [1, ["a"]]), ("{a: {b: 1}}", {"a": {"b": 1}}), ("{1: a, x: b}", {1: "a", "x": "b"})),
        *(("[&a {b: 1}, *a]", [{"b": 1}, {"b": 1}]), ("!!str 5", "5"), ("!!float 1", 1.0)),
    ],
)
def test_plain_values_are_read(text, value):
    found = parse_yaml(text, "f")
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 0x_", "line 1: '0x_' cannot be read as a whole number."),
        ('a: !!int ""', "line 1: '' cannot be read as a whole number."),
        ("a: !!float x", "line 1: 'x' cannot be read as a number."),
        ("a: !!bool x", "line 1: 'x' cannot be read as true or false."),
        ("a: !!int [1]", "line 1: this cannot be read as a whole number."),
        ("a:\n- 1e400", "line 2: a number must be finite, but is '1e400'."),
        ("a: .nan", "line 1: a number must be finite, but is '.nan'."),
        (f"a: {'9' * 5000}", "cannot be read as a whole number."),
        (f"a: 0x{'f' * 5000}", "is too large a number: at most 128 bits are read."),
        (f"a: {2**128}", "is too large a number"),
        ("a: !!timestamp 2001-13-01", "the tag '!!timestamp' is not read"),
        ("a: !!binary '###'", "the tag '!!binary' is not read"),
        ("a: !!set {a, b}", "the tag '!!set' is not read"),
        ("a: !!omap [a: 1]", "the tag '!!omap' is not read"),
        ("a: !!python/object/apply:os.system [id]", "the tag '!!python/object/apply:os.system' is not read"),
        ("a: !<x> y", "the tag 'x' is not read"),
        ("a: {<<: {b: 1}}", "a merge key (<<) is not read"),
        ("a: 1\nb: 2\na: 3", "line 3: key 'a' is given twice."),
        ("? [1]\n: 2", "line 1: a key must be a word or a number, but is [1]."),
        ("null: 1", "a key must be a word or a number, but is null."),
        ('a: "\\0"', "a text must be of printable characters, but has U+0000."),
        ('a: "\\ud800"', "a text must be of printable characters, but has U+D800."),
        ('a: "\\U00110000"', "this is not YAML"),
        ("a: \0", "this is not YAML: character 4, 0"),
        ("a: &a [*a]", "line 1: a value contains itself through an alias."),
        ("a: *b", "this is not YAML: line 1: found undefined alias 'b'."),
        ("a: [", "this is not YAML: line 1: while parsing a flow node"),
        ("\ta: 1", "cannot start any token"),
        ("[" * 42 + "]" * 42, "line 1: lists and mappings are nested more than 40 levels deep."),
        ("[" * 100_000, "nested more than 40 levels deep."),
        ("- " * 5000, "nested more than 40 levels deep."),
    ],
)
def test_all_else_is_refused_by_its_line(text, message):
    with pytest.raises(ConfigurationError) as error:
        parse_yaml(text, "file.yaml")
    assert str(error.value).startswith("file.yaml: ")
    assert message in str(error.value)
    assert len(str(error.value)) < 300


def every_subclass(kind):
    return [kind, *(below for one in kind.__subclasses__() for below in every_subclass(one))]


OWN = [kind for kind in every_subclass(yaml.YAMLError) if kind.__module__.startswith("yaml.")]
BUILT_IN = [ValueError, IndexError, KeyError, TypeError, OverflowError, AttributeError, RecursionError, UnicodeError]


@pytest.mark.parametrize("kind", [*OWN, *BUILT_IN], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("place", ["get_single_node", "construct_document"])
def test_every_exception_of_the_library_is_mapped(kind, place, monkeypatch):
    def fail(*_):
        if kind is yaml.reader.ReaderError:
            raise kind("name", 3, 0, "utf-8", "it is wrong")
        raise kind()

    assert len(OWN) >= 9
    monkeypatch.setattr(yaml_files._Loader, place, fail)
    with pytest.raises(ConfigurationError, match=r"^f: this is not YAML: "):
        parse_yaml("a: 1", "f")


def bomb(levels, width):
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels)]
    return "\n".join(lines)


def chain(levels):
    """Return lists that are deep by aliases alone."""
    return "\n".join(["a0: &a0 [x]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, levels))])


@pytest.mark.parametrize("text", [bomb(200, 10), bomb(60, 2), chain(60), "a: [" + "1, " * 300_000 + "]"])
def test_bombs_are_refused_in_bounded_time_and_memory(text, monkeypatch):
    monkeypatch.setattr(yaml_files, "MOST_VALUES", 2000)
    started = time.process_time()
    tracemalloc.start()
    with pytest.raises(ConfigurationError, match="more than"):
        parse_yaml(text, "f")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6
    assert time.process_time() - started < 10


def test_large_files_are_refused_by_their_size(tmp_path):
    path = tmp_path / "large.yaml"
    path.write_bytes(b"a: [" + b"1, " * 3_300_000 + b"]")
    started = time.process_time()
    with pytest.raises(ConfigurationError, match=r"large\.yaml: cannot be read: it is larger than 1,000,000 bytes\."):
        read_yaml(path)
    assert time.process_time() - started < 2
    with pytest.raises(ConfigurationError, match="longer than 1,000,000 characters"):
        parse_yaml("#" * (MOST_BYTES + 1), "f")
    path.write_bytes(b"# " + b"x" * 900_000 + b"\na: 1\n")
    assert read_yaml(path) == {"a": 1}


TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12) | st.sampled_from(
    ["1e5", "1e-4", "010", "1:30", "2024-05-01", "0x1f", "0b1", "no", "~", "=", "<<", "1_0", ".inf", "- a", "#", "a: b"]
)
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**127), 2**127)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(PLAIN)
def test_what_is_written_is_read_back(value):
    text = dump_yaml(value)
    found = parse_yaml(text, "f")
    assert repr(found) == repr(value)


@pytest.mark.parametrize("value", [{"a": float("nan")}, {"a": "\0"}, {"a": [1] * 2001}, {"a": "x" * MOST_BYTES}])
def test_what_could_not_be_read_back_is_not_written(value, monkeypatch):
    monkeypatch.setattr(yaml_files, "MOST_VALUES", 2000)
    with pytest.raises(ConfigurationError, match="The configuration with all its defaults"):
        dump_yaml(value)
