"""Which keys a model has, and which key of a file pydantic means, whose locations have the kinds of a value as well."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, Tag

from qiskit_fedqml.config.sources import Key

NAME = "NAME"
"""In the place of a name of the user's own, such as a backend's."""

Location = tuple[int | str, ...]
"""Where pydantic finds an error: keys, indexes, and tags of the kind that a value was taken for."""


def key_in_file(data: Any, location: Location, *, names_a_key: bool) -> Key:
    """Return the key of a location, without the names that pydantic gives to a union's members."""
    parts = []
    tagged: Any = None
    for position, part in enumerate(location):
        if isinstance(data, Mapping) and data is not tagged and data.get("type") == part and part in data:
            tagged = data  # the tag of an entry that has a key of this name too: {type: python, python: …}
            continue
        inside = isinstance(data, Mapping) and part in data
        is_index = isinstance(data, (list, tuple)) and isinstance(part, int) and part < len(data)
        if inside or is_index or (names_a_key and position == len(location) - 1):
            parts.append(str(part))
            data = data[part] if inside or is_index else None
    return tuple(parts)


def known_keys(model: type[BaseModel], location: Location) -> list[str]:
    """Return the field names at a location, as far as the annotations say."""
    models = [("", model)]
    for part in location:
        step: list[tuple[str, type[BaseModel]]] = []
        for tag, candidate in models:
            if isinstance(part, str) and part in candidate.model_fields and not _has_literal(candidate, part):
                step += models_in(candidate.model_fields[part].annotation)
            else:  # a key of a mapping, or the tag of a union, which chooses one of its models
                step.append((tag, candidate))
        named = [(tag, m) for tag, m in step if part == tag or _has_literal(m, part)]
        models = named or step or models
    return sorted({name for _, candidate in models for name in names_of(candidate)})


def keys_below(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield all keys of a file, dotted, with those of each alternative."""
    for name, field in model.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        yield key
        own = f"{key}.{NAME}." if get_origin(field.annotation) is dict else f"{key}."
        for _, inner in models_in(field.annotation):
            yield from keys_below(inner, own)


def names_of(model: type[BaseModel]) -> list[str]:
    """Return a model's keys as they are written in a file."""
    return [field.alias or name for name, field in model.model_fields.items()]


def _has_literal(model: type[BaseModel], value: Any) -> bool:
    """Return whether a key of a model may be this word."""
    annotations = [field.annotation for field in model.model_fields.values()]
    return any(get_origin(a) is Literal and value in get_args(a) for a in annotations)


def models_in(annotation: Any, tag: str = "") -> list[tuple[str, type[BaseModel]]]:
    """Return the models in an annotation, each with its tag; empty where it has none."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [(tag, annotation)]
    if get_origin(annotation) is Annotated:
        annotation, *metadata = get_args(annotation)
        tag = next((str(one.tag) for one in metadata if isinstance(one, Tag)), tag)
        return models_in(annotation, tag)
    return [m for argument in get_args(annotation) for m in models_in(argument, tag)]
