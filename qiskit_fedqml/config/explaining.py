"""Every key of a configuration with its default, what it may be, and a sentence: as a list, and as a JSON schema."""

import ast
import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from qiskit_fedqml.config.allowed import in_words
from qiskit_fedqml.config.keys import NAME, models_in
from qiskit_fedqml.config.strict import nearest
from qiskit_fedqml.errors import ConfigurationError, shown

_TEXT = {"type": "string", "minLength": 1}
_SHORT_FORMS: dict[tuple[str, str], dict[str, Any]] = {
    ("AerEntry", "blocks"): {"enum": ["off", "auto", False]},
    ("IBMEntry", "blocks"): {"enum": ["off", "auto", False]},
    ("ProviderEntry", "blocks"): {"enum": ["off", "auto", False]},
    ("StatedNoise", "readout"): {"type": "number", "minimum": 0, "maximum": 1},
    ("QpyCircuit", "inputs"): _TEXT,
    ("QpyCircuit", "weights"): _TEXT,
    ("Trace", "trace"): _TEXT,
    ("Edges", "edges"): _TEXT,
    ("Experiment", "backends"): _TEXT,
    ("FederationConfig", "keep_best"): {"type": "boolean"},
}
"""What a file may say in place of a value; it is read before the models see it."""


@dataclass(frozen=True)
class KeyFacts:
    """A key of a configuration.

    Args:
        key: The key, dotted.
        kind: Which alternative has it, such as ``dataset: digits``; empty if there is only one.
        is_required: Whether it has no default.
        default: Its default, as YAML's values.
        allowed: What it may be, in words.
        description: A sentence about it.
    """

    key: str
    kind: str
    is_required: bool
    default: Any
    allowed: str
    description: str


def keys_of(model: type[BaseModel]) -> Iterator[KeyFacts]:
    """Yield all keys of a file, with those of each alternative; those that several have alike come once."""
    alike: dict[str, list[KeyFacts]] = {}
    for one in _keys_of(model, "", "", schema_of(model)):
        alike.setdefault(repr(replace(one, kind="")), []).append(one)
    for several in alike.values():
        kinds = dict.fromkeys(one.kind for one in several)
        yield several[0] if len(kinds) == 1 else replace(several[0], kind=_joined(kinds))


def _keys_of(model: type[BaseModel], prefix: str, kind: str, schema: dict[str, Any]) -> Iterator[KeyFacts]:
    properties = schema.get("$defs", {}).get(model.__name__, schema).get("properties", {})
    for name, field in model.model_fields.items():
        written = field.alias or name
        key = f"{prefix}{written}"
        yield KeyFacts(
            key,
            kind,
            field.is_required(),
            _plain(field),
            in_words(properties.get(written, {}), schema.get("$defs", {})),
            description_of(model, name),
        )
        inner = [found for _, found in models_in(field.annotation)]
        own = f"{key}.{NAME}." if get_origin(field.annotation) is dict else f"{key}."
        for one in inner:
            yield from _keys_of(one, own, _kind_of(one) if len(inner) > 1 else "", schema)


def explained(model: type[BaseModel], key: str) -> list[KeyFacts]:
    """Return what is known of a key, named whole or by its last parts; several alternatives may have it.

    Raises:
        ConfigurationError: There is no such key.
    """
    known = list(keys_of(model))
    found = [one for one in known if one.key == key] or [one for one in known if f".{one.key}".endswith(f".{key}")]
    found = found or [one for one in known if _fits(one.key, key)]
    if not found:
        names = {one.key for one in known} | {one.key.rsplit(".", 1)[-1] for one in known}
        near = nearest(key, names)
        end = near if "did you mean" in near else ", and no sentence has that word; --defaults lists all keys."
        raise ConfigurationError(f"--explain: there is no key {shown(key)}{end}")
    return found


def keys_in(model: type[BaseModel], key: str) -> list[KeyFacts]:
    """Return the keys of a mapping, by its own key; none of what is no mapping."""
    own = [f"{key}.", f"{key}.{NAME}."]
    return [
        one
        for one in keys_of(model)
        if any(one.key.startswith(start) and "." not in one.key[len(start) :] for start in own)
    ]


def keys_that_mention(model: type[BaseModel], word: str) -> list[KeyFacts]:
    """Return the keys whose choices, alternatives or sentences have a word in them."""
    whole = re.compile(rf"\b{re.escape(word)}\b", re.IGNORECASE)
    return [one for one in keys_of(model) if whole.search(f"{one.kind} {one.allowed} {one.description}")]


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON schema of a file, with a sentence for each key; editors complete and check by it."""
    schema = model.model_json_schema()
    models = {one.__name__: one for one in _all_models(model)}
    for name, part in (*schema.get("$defs", {}).items(), (model.__name__, schema)):
        for key, value in part.get("properties", {}).items():
            if (short := _SHORT_FORMS.get((name, key))) is not None:
                kept = {word: value.pop(word) for word in ("default",) if word in value}
                part["properties"][key] = {"anyOf": [dict(value), short], **kept}
            own = next((field for field, of in models[name].model_fields.items() if of.alias == key), key)
            part["properties"][key]["description"] = description_of(models[name], own)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_portable(schema)}


def _portable(schema: Any) -> Any:
    """Return a schema that editors read alike, and that refuses names which no pattern takes."""
    if isinstance(schema, list):
        return list(map(_portable, schema))
    if not isinstance(schema, dict):
        return schema
    found = {key: _portable(value) for key, value in schema.items()}
    if isinstance(found.get("pattern"), str):
        found["pattern"] = _with_all_letters(found["pattern"])
    if "patternProperties" in found:
        named = {_with_all_letters(pattern): value for pattern, value in found["patternProperties"].items()}
        found |= {"patternProperties": named, "additionalProperties": False}
    return found


def _with_all_letters(pattern: str) -> str:
    """Return a pattern whose letters are those of all languages; editors take ``w`` as those of English."""
    return pattern.replace(r"\w", "A-Za-z0-9_\u0080-\uffff")


@cache
def description_of(model: type[BaseModel], key: str) -> str:
    """Return the sentence below a key in its model's source; empty where there is none."""
    for one in model.__mro__:
        if key in getattr(one, "__annotations__", {}):
            return _sentences(one.__module__).get((one.__name__, key), "").strip()
    return ""


@cache
def _sentences(module: str) -> dict[tuple[str, str], str]:
    found = {}
    for node in ast.parse(inspect.getsource(sys.modules[module])).body:
        if isinstance(node, ast.ClassDef):
            for key, text in zip(node.body, node.body[1:], strict=False):
                if (
                    isinstance(key, ast.AnnAssign)
                    and isinstance(key.target, ast.Name)
                    and isinstance(text, ast.Expr)
                    and isinstance(text.value, ast.Constant)
                    and isinstance(text.value.value, str)
                ):
                    found[node.name, key.target.id] = text.value.value
    return found


def _joined(kinds: Iterable[str]) -> str:
    """Return alternatives in a word, such as ``type: ibm, backend``."""
    words: dict[str, list[str]] = {}
    for kind in kinds:
        word, _, value = kind.partition(": ")
        words.setdefault(word, []).append(value)
    return "; ".join(f"{word}: {', '.join(values)}" if any(values) else word for word, values in words.items())


def _all_models(model: type[BaseModel]) -> set[type[BaseModel]]:
    found, waiting = {model}, [model]
    while waiting:
        for field in waiting.pop().model_fields.values():
            fresh = {inner for _, inner in models_in(field.annotation)} - found
            found |= fresh
            waiting += fresh
    return found


def _plain(field: FieldInfo) -> Any:
    """Return a default as YAML's values; None where there is none."""
    value = None if field.is_required() else field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return list(value) if isinstance(value, tuple) else value


def _kind_of(model: type[BaseModel]) -> str:
    """Return the word that tells an alternative from the others, or the key that it alone has."""
    for name, field in model.model_fields.items():
        if get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1:
            return f"{name}: {get_args(field.annotation)[0]}"
    return next(iter(model.model_fields))


def _fits(known: str, given: str) -> bool:
    """Return whether a key with a name of the user's own is meant, such as backends.backends.manila.shots."""
    parts, words = known.split("."), given.split(".")
    return len(parts) == len(words) and all(a in (b, NAME) for a, b in zip(parts, words, strict=True))


def values_at(values: Mapping[str, Any], key: str) -> Any:
    """Return the value of a dotted key in nested mappings; KeyError where there is none."""
    found: Any = values
    for part in key.split("."):
        found = found[part]
    return found
