"""What must not leave this machine: pickles, paths of its disk, and secrets."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from safetensors import SafetensorError, safe_open

from langcell.hub_cards.cards.repository_kinds import ADAPTER, MODEL, RepositoryKind

# Formats whose readers run what the file says, and those that other libraries keep weights in.
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".dill")
_OTHER_WEIGHTS = (".h5", ".msgpack", ".keras", ".gguf")
_PICKLE_START = re.compile(rb"\x80[\x02-\x05][}\].(ccX\x8c\x95K]")
_MOST_BYTES = 1 << 26  # of a file that is looked through for secrets
# Word pieces and gene names look like anything.
_NO_PROSE = ("tokenizer.json", "vocab.json", "vocab.txt", "merges.txt", "gene_vocabulary.tsv")
# A home or a disk of a cluster, in prose or code; a web address has a letter, a dot or a slash before it.
_PLACE = re.compile(
    r"(?<![\w.~:/}\)>*$-])/(?:home|Users|root|mnt|media|scratch|gpfs|lustre|nfs|workspaces?|work)/[\w.-]+"
    r"|(?<!\w)[A-Za-z]:\\+(?:Users|Documents)\b|file:///"
)
# A string of a settings file that is a path from the root.
_ABSOLUTE = re.compile(r"(?:/[^/\s\"']+){2,}/?|~/.+|[A-Za-z]:[\\/].+|file://.+")
_SECRETS: dict[str, re.Pattern[str]] = {
    "a Hugging Face token": re.compile(r"\b(?:hf|api_org)_[A-Za-z0-9]{30,}"),
    "an AWS access key": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "an AWS secret key": re.compile(r"(?i)aws.{0,20}secret.{0,20}[=:]\s*[\"']?[A-Za-z0-9/+]{40}\b"),
    "a private key": re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----"),
    "a GitHub token": re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{40,})"),
    "a GitLab token": re.compile(r"\bglpat-[\w-]{20,}"),
    "a Slack token": re.compile(r"\bxox[abprs]-[\w-]{10,}"),
    "a Google key": re.compile(r"\bAIza[\w-]{35}"),
    "an API key": re.compile(r"\bsk-(?:[a-z]+-)*[A-Za-z0-9]{24,}"),
    "a password in an address": re.compile(r"\b[a-z+]{2,10}://[^\s/:@\"'{}<>]+:[^\s/:@\"'{}<>]{6,}@"),
}


def check_contents(
    folder: str | Path, files: Sequence[str], kind: RepositoryKind, *, replaced: dict[str, str]
) -> list[str]:
    """List what speaks against publishing these files, one sentence each; an empty list is what one wants.

    Args:
        folder: holds the files.
        files: relative to it.
        kind: kind of the folder; models and adapters have safetensors alone.
        replaced: texts that go up in place of a file's own.
    """
    problems = check_formats(Path(folder), files, kind)
    for name in files:
        text = replaced[name] if name in replaced else _text_of(Path(folder) / name)
        if text is not None:
            problems += _first(name, find_secrets(text))
            if Path(name).name not in _NO_PROSE:
                problems += _first(name, find_paths(name, text, here=_places_of(Path(folder))))
    return problems


def check_formats(folder: Path, files: Sequence[str], kind: RepositoryKind) -> list[str]:
    """Return the weights in another format than safetensors, and pickles under any name."""
    problems = []
    for name in files:
        path, suffix = folder / name, Path(name).suffix.lower()
        if suffix in _PICKLES or _is_pickle(path):
            problems.append(f"{name} is a pickle, which can run code; only safetensors are published")
        elif suffix in _OTHER_WEIGHTS and kind in (MODEL, ADAPTER):
            problems.append(f"{name} holds weights in another format; only safetensors are published")
    if kind in (MODEL, ADAPTER) and not any(name.endswith(".safetensors") for name in files):
        problems.append("no .safetensors file with weights")
    return problems


def find_secrets(text: str) -> Iterator[str]:
    """Yield what looks like a secret, by line and kind; the secret itself is not repeated.

    >>> list(find_secrets("a" * 3 + chr(10) + "key = AKIA" + "A" * 16))
    ['line 2 looks like an AWS access key']
    """
    for kind, pattern in _SECRETS.items():
        if match := pattern.search(text):
            yield f"line {text.count(chr(10), 0, match.start()) + 1} looks like {kind}"


def find_paths(name: str, text: str, *, here: Sequence[str] = ()) -> Iterator[str]:
    """Yield absolute paths in a text: in JSON and YAML any, elsewhere those of homes, disks and this very machine.

    Args:
        name: name of the file; its suffix tells what it is.
        text: its content.
        here: folders of this machine.

    >>> list(find_paths("config.json", '{"model": {"path": "/data/runs/a"}}'))
    ['model.path is the absolute path /data/runs/a']
    """
    told = set()
    if (read := _READERS.get(Path(name).suffix.lower())) is not None:
        try:
            content = read(text)
        except ValueError as error:
            yield f"is no valid {Path(name).suffix[1:].upper()} ({' '.join(str(error).split())[:100]})"
            return
        for place, value in _strings(content):
            if _ABSOLUTE.fullmatch(value):
                told.add(value)
                yield f"{place} is the absolute path {value}"
    for found in (*here, *(match[0] for match in _PLACE.finditer(text))):
        if found in text and not any(found.rstrip("\\") in value.replace("\\", "\\\\") for value in told):
            line = text.count("\n", 0, text.index(found)) + 1
            yield f"line {line} has the absolute path {found}"


def _read_yaml(text: str) -> Any:
    try:
        return list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


_READERS: dict[str, Callable[[str], Any]] = {".json": json.loads, ".yaml": _read_yaml, ".yml": _read_yaml}


def _strings(content: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Yield all strings in nested dicts and lists, with where they stand."""
    if isinstance(content, str):
        yield place, content
    elif isinstance(content, dict):
        for key, value in content.items():
            yield from _strings(value, f"{place}.{key}" if place else str(key))
    elif isinstance(content, list):
        for i, value in enumerate(content):
            yield from _strings(value, f"{place}[{i}]")


def _first(name: str, findings: Iterator[str]) -> list[str]:
    """Return the first finding of a file: the others are mostly more of it."""
    return [f"{name}: {finding}" for finding in findings][:1]


def _places_of(folder: Path) -> list[str]:
    """Folders of this machine that no file of another should name; not those that any text may hold, such as /."""
    places = {str(folder.resolve()), str(Path.home()), str(Path.cwd())}
    return sorted(place for place in places if place.count("/") > 1 or "\\" in place)


def _is_pickle(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(4096)
    return _PICKLE_START.match(start) is not None or (start.startswith(b"PK") and b"/data.pkl" in start)


def _text_of(path: Path) -> str | None:
    """Return what people could read in a file: a text whole, of weights their metadata, of data nothing."""
    if not path.is_file() or path.suffix == ".parquet":
        return None
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, framework="np") as file:
                return "\n".join((file.metadata() or {}).values())
        except (SafetensorError, OSError):
            return None  # that it does not load is another check's word
    with path.open("rb") as file:
        content = file.read(_MOST_BYTES)
    return content.decode("utf-8", errors="replace")
