"""Configurations of pre-training runs as yaml files, with `key=value` overrides.

    config = load_config("training/configs/stage1-mini.yaml", overrides=["batch.size=64", "data.0.path=shards/pbmc"])

Every key is checked: an unknown one is an error that names the nearest legal key, a wrong type one that names the type.
"""

import contextlib
import dataclasses
import difflib
import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, cast

import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from langcell.training.settings.sections import PretrainConfig

# What other trainers call some keys, where neither letters nor words lead to ours.
KNOWN_AS = {
    "warmup_steps": "optimizer.warmup",
    "max_grad_norm": "optimizer.grad_clip",
    "max_steps": "steps",
    "epochs": "steps",
    "bf16": "precision",
    "mixed_precision": "precision",
    "report_to": "trackers",
}


def load_config(path: str | Path, *, overrides: list[str] | None = None) -> PretrainConfig:
    """Read a yaml file, apply the overrides, and check every key.

    Args:
        path: the yaml file.
        overrides: `key=value` with dots between levels and numbers for list items; values are read as yaml, in which
            `${key}` stands for the value of another key, as in the file.

    Raises:
        ValueError: in one line, for a missing or malformed file, an unknown key, or a value of the wrong type.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"No config file {path}. Those that come with LangCell lie in training/configs/.")
    with _yaml_errors(str(path)):
        tree = OmegaConf.load(path)
    if not isinstance(tree, DictConfig):
        raise ValueError(f"{path} does not hold `key: value` lines at its top level.")
    for override in overrides or []:
        _override(tree, override)
    try:
        plain = OmegaConf.to_container(tree, resolve=True)
    except OmegaConfBaseException as error:  # an interpolation ${...} that leads nowhere
        raise ValueError(f"{path}: {_first_line(error)}.") from error
    return _build(PretrainConfig, cast(dict, plain), where="")


def save_config(config: PretrainConfig, path: Path) -> None:
    """Write the config, with every default spelled out, as yaml that `load_config` reads."""
    path.write_text(yaml.safe_dump(config_tree(config), sort_keys=False))


def config_tree(config: PretrainConfig) -> dict[str, Any]:
    """Return the config as yaml knows it: dictionaries, lists and values."""
    tree = dataclasses.asdict(config)
    tree["optimizer"]["betas"] = list(config.optimizer.betas)
    return tree


@contextlib.contextmanager
def _yaml_errors(what: str, *, of_a_file: bool = True) -> Iterator[None]:
    """Turn an error of the yaml parser into one line, with its place in a file."""
    try:
        yield
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None) or "no yaml"
        place = f" in line {mark.line + 1}, column {mark.column + 1}" if mark and of_a_file else ""
        raise ValueError(f"{what} cannot be read as yaml: {problem}{place}.") from error


def _override(tree: DictConfig, override: str) -> None:
    """Change one value of the tree, as `key=value` says."""
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise ValueError(f"Override {override!r} is not of the form key=value, for example batch.size=64.")
    with _yaml_errors(f"Override {key}", of_a_file=False):
        parsed = OmegaConf.from_dotlist([f"value={value}"])
    section = key.rpartition(".")[0]
    try:
        # OmegaConf would put a section in the place of a value.
        held = OmegaConf.select(tree, section) if section else tree
        if held is not None and not OmegaConf.is_config(held):
            raise ValueError(f"Override {key}: {section} holds one value, not a section.")
        OmegaConf.update(tree, key, cast(dict, OmegaConf.to_container(parsed))["value"], merge=False, force_add=True)
    except (OmegaConfBaseException, TypeError) as error:
        items = getattr(error, "parent_node", None)
        hint = f"; there are {len(items)} items, from 0" if isinstance(items, ListConfig) else ""
        raise ValueError(f"Override {key}: {_first_line(error)}{hint}.") from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")


def _build(cls: type, tree: dict, *, where: str) -> Any:
    """Return a dataclass from a dict, with every key known and every value of its type."""
    hints = typing.get_type_hints(cls)
    for key in tree:
        if key not in hints:
            near, legal = _nearest_key(str(key), list(hints), where=where), ", ".join(hints)
            raise ValueError(f"Unknown config key {where}{key}. Did you mean {near}? Legal keys: {legal}.")
    required = [f.name for f in dataclasses.fields(cls) if f.default is f.default_factory is dataclasses.MISSING]
    missing = [name for name in required if name not in tree]
    if missing:
        raise ValueError(f"Config key {where}{missing[0]} is missing.")
    return cls(**{key: _value(hints[key], value, where=f"{where}{key}") for key, value in tree.items()})


def _nearest_key(key: str, legal: list[str], *, where: str) -> str:
    """Return the legal key that was probably meant, in its section or in another.

    >>> _nearest_key("learning_rate", ["steps", "seed"], where="")
    'optimizer.lr'
    >>> _nearest_key("batchsize", ["steps", "seed"], where="")
    'batch.size'
    """
    own = [f"{where}{name}" for name in legal]
    if key in KNOWN_AS:
        return KNOWN_AS[key]
    # A list's items are in no other section. The first of equals counts: the key's own section comes first.
    return max(dict.fromkeys([*own, *_all_keys(PretrainConfig)]), key=lambda name: _likeness(key, name, where=where))


def _likeness(key: str, legal: str, *, where: str) -> float:
    """How likely a key of the section `where` was meant as a legal one, which is written with all its sections."""
    name = legal.rpartition(".")[2]
    if name == key:
        return 3.0
    if _squeezed(f"{where}{key}") == _squeezed(legal) or _squeezed(key) in (_squeezed(name), _squeezed(legal)):
        return 2.0
    if len(key) > 1 and len(name) > 1 and (key == _initials(legal) or key == _initials(name) or name == _initials(key)):
        return 1.5
    in_section = 0.05 if legal == f"{where}{name}" else 0.0
    pairs = ((key, name), (_squeezed(key), _squeezed(legal)))
    return in_section + max(difflib.SequenceMatcher(None, *pair).ratio() for pair in pairs)


def _squeezed(name: str) -> str:
    return re.sub(r"[._-]", "", name).lower()


def _initials(name: str) -> str:
    return "".join(word[:1] for word in re.split(r"[._-]", name))


def _all_keys(cls: type, *, where: str = "") -> Iterator[str]:
    """Yield every key and section, with the sections that it is in; lists are not entered."""
    for name, hint in typing.get_type_hints(cls).items():
        yield f"{where}{name}"
        if dataclasses.is_dataclass(hint):
            yield from _all_keys(cast(type, hint), where=f"{where}{name}.")


def _value(hint: Any, value: Any, *, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        if isinstance(value, dict):
            return _build(cast(type, hint), value, where=f"{where}.")
        keys = ", ".join(field.name for field in dataclasses.fields(hint))
        raise ValueError(f"Config key {where} is {value!r}, but {where} is a section; its keys: {keys}.")
    if origin in (list, tuple) and isinstance(value, list):
        items = [_value(arguments[0], item, where=f"{where}.{i}") for i, item in enumerate(value)]
        if origin is list or len(items) == len(arguments):
            return origin(items)
    if origin is Literal:
        # yaml reads a bare `no` as False; as a choice it is the word.
        value = "no" if value is False and "no" in arguments else value
        if value in arguments:
            return value
    if hint in (int, float) and isinstance(value, str | int | float) and not isinstance(value, bool):
        with contextlib.suppress(ValueError):
            number = float(value)
            if hint is float or number.is_integer():
                return hint(value if isinstance(value, int) else number)  # a large int is not exact as a float
    if isinstance(hint, type) and not isinstance(hint, types.GenericAlias) and type(value) is hint:
        return value
    raise ValueError(f"Config key {where} is {value!r}; legal: {_legal_values(hint)}.")


def _legal_values(hint: Any) -> str:
    """Return a type in words: `int`, `one of no, bf16`, `a list of str`, `[float, float]`."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if origin is tuple:
        return f"[{', '.join(map(_legal_values, arguments))}]"
    if origin is list:
        item = arguments[0]
        if dataclasses.is_dataclass(item):
            return f"a list of {{{', '.join(field.name for field in dataclasses.fields(item))}}}"
        return f"a list of {_legal_values(item)}"
    return hint.__name__
