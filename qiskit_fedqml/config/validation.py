"""Data checked against a model, with errors that a user can act on."""

import re
from collections.abc import Mapping, Sized
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from qiskit_fedqml.config.alternatives import ALTERNATIVES
from qiskit_fedqml.config.keys import NAME, key_in_file, keys_below, known_keys
from qiskit_fedqml.config.sources import Key, Place, Sources
from qiskit_fedqml.config.strict import nearest
from qiskit_fedqml.config.yaml_words import shown_as_yaml
from qiskit_fedqml.errors import ConfigurationError, listed, shown

Model = TypeVar("Model", bound=BaseModel)


def validate(model: type[Model], data: Any, source: str | Sources) -> Model:
    """Check data against a model.

    Args:
        model: The model.
        data: Values as YAML gives them.
        source: What errors call the place from which the data come, or where each part of them comes from.

    Raises:
        ConfigurationError: The data does not fit; each wrong key is named, with what was expected there.
    """
    sources = Sources(source) if isinstance(source, str) else source
    check_mapping(data, sources.whole)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ConfigurationError(" ".join(_explain(model, data, error, sources))) from None
    except RecursionError:  # a value made in Python that holds itself, or thousands of lists in each other
        raise ConfigurationError(f"{sources.whole}: lists and mappings are nested too deeply.") from None


def check_mapping(data: Any, source: str) -> None:
    """Refuse what is no mapping.

    Raises:
        ConfigurationError: It is none.
    """
    if data is None:
        raise ConfigurationError(f"{source}: must be a mapping of keys to values, but is empty.")
    if not isinstance(data, Mapping):
        got = "a list" if isinstance(data, list) else shown_as_yaml(data)
        raise ConfigurationError(f"{source}: must be a mapping of keys to values, but is {got}.")


_MOST_ERRORS = 5
_EXPECTED = {
    "model_type": "must be a mapping of keys to values",
    "model_attributes_type": "must be a mapping of keys to values",
    "dict_type": "must be a mapping of keys to values",
    "tuple_type": "must be a list",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "string_type": "must be text",
    "bool_type": "must be true or false",
}
"""Pydantic's words for a wrong type, in those of a YAML file."""
_PYDANTIC = re.compile(r"^(?:Input should (be)|(?:Tuple|List|Dictionary|String) should (have|match)) ")
"""How its other sentences begin."""


_SECRET = re.compile(r"^(token|api_?key|password|secret)$", re.IGNORECASE)
"""Keys by which people try to give secrets."""


def _explain(model: type[BaseModel], data: Any, error: ValidationError, sources: Sources) -> list[str]:
    """Return a sentence for each mistake, and one about how many are left out."""
    sentences: list[str] = []
    expected: dict[tuple[Place, str], list[str]] = {}  # of a key that may be one of several kinds, by its value
    items = [item for item in error.errors(include_url=False) if not _follows_from_others(item)]
    for item in items[:_MOST_ERRORS]:
        location, kind = tuple(item["loc"]), item["type"]
        key = key_in_file(data, location, names_a_key=kind in {"extra_forbidden", "missing"})
        if kind.startswith("union_tag_"):  # of a key in the mapping that pydantic means
            key = (*key, item["ctx"]["discriminator"].strip("'"))
        place = sources.place(key, compares=isinstance(item["input"], Mapping))
        if kind == "extra_forbidden":
            own = shown(".".join(place.key or key))
            near = _meant(model, key) or nearest(str(location[-1]), known_keys(model, location[:-1]))
            sentences.append(f"{place.source}: unknown key {own}{near}")
        elif kind in {"missing", "union_tag_not_found"}:
            sentences.append(f"{place.source}: key {'.'.join(place.key or key)!r} is missing.")
        else:
            words, got = _words(item), _got(item)
            wanted = expected.setdefault((place, got), [])
            if wanted:
                sentences.remove(_sentence(place, wanted, got))
            wanted.append(words)
            sentences.append(_sentence(place, wanted, got))
    more = len(items[_MOST_ERRORS:])
    left = [f"There {'is 1 more mistake' if more == 1 else f'are {more} more mistakes'}."] if more else []
    return [*sentences, *left]


def _meant(model: type[BaseModel], key: Key) -> str:
    """Return the end of a sentence about a key that is known elsewhere, or is written in another way."""
    name = key[-1]
    if _SECRET.search(name):
        return (
            "; secrets are never read from files: save the account (QiskitRuntimeService.save_account), or set the "
            "environment variable QISKIT_IBM_TOKEN."
        )
    if key[-2:] == ("noise", "python"):
        return "; a noise model of your own is a machine: {type: python, python: 'module:function'}."
    if len(key) > 1:
        return ""
    known = [one for one in dict.fromkeys(keys_below(model)) if one.rpartition(".")[2] == name and NAME not in one]
    return f"; did you mean {' or '.join(map(repr, known))}?" if 0 < len(known) < 4 else ""


def _words(item: ErrorDetails) -> str:
    """Return what a value must be."""
    if item["type"] == "union_tag_invalid":
        return f"must be {' or '.join(item['ctx']['expected_tags'].rsplit(', ', 1))}"
    words = _EXPECTED.get(item["type"]) or item["msg"].removeprefix("Value error, ")
    return _PYDANTIC.sub(lambda found: f"must {found[1] or found[2]} ", words).split(" after valid")[0]


def _got(item: ErrorDetails) -> str:
    """Return the end of a sentence, with the value; empty where the sentence says what is wrong without it."""
    if item["type"] == "union_tag_invalid":
        return f", but got {shown_as_yaml(item['input'].get(item['ctx']['discriminator'].strip(chr(39))))}"
    value = item["input"]
    if not isinstance(value, Mapping):
        return "" if item["type"] == "value_error" and ", but " in item["msg"] else f", but got {shown_as_yaml(value)}"
    if item["type"] != ALTERNATIVES:
        is_other = item["type"].endswith(("_type", "_parsing")) or item["type"] == "literal_error"
        return ", but got a mapping" if is_other else ""
    keys = listed(shown_as_yaml(key) for key in value)
    return f", but has the {'key' if len(value) == 1 else 'keys'} {keys}" if value else ", but is empty"


def _follows_from_others(item: ErrorDetails) -> bool:
    """Return whether a list is too short for pydantic only because it does not count the wrong values in it."""
    values = item["input"]
    return item["type"] == "too_short" and isinstance(values, Sized) and len(values) >= item["ctx"]["min_length"]


def _sentence(place: Place, wanted: list[str], got: str) -> str:
    """Return what a value must be, where pydantic has a sentence for each kind that it may have."""
    words = " or ".join([wanted[0], *(words.removeprefix("must be ") for words in wanted[1:])])
    whole = place.sentence(words) + got
    return whole if whole.endswith((".", "?")) else f"{whole}."
