"""Whether a card says what a card has to say: metadata that the Hub reads, licence, and where data come from."""

import re
from collections.abc import Iterator
from pathlib import Path

import yaml
from huggingface_hub import DatasetCard, ModelCard, RepoCard, SpaceCard
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from langcell.hub_cards.cards.repository_kinds import ADAPTER, CARD_FILE, MODEL, SHARDS, SPACE, RepositoryKind
from langcell.processing.shards.manifest import read_manifest

_CARDS: dict[str, type[RepoCard]] = {"model": ModelCard, "dataset": DatasetCard, "space": SpaceCard}
_NOT_FILLED = re.compile(r"\[More Information Needed\]|\{\{.*?\}\}|\{%.*?%\}", re.IGNORECASE)
_DATA_SECTIONS = ("training data", "how it was made", "data", "sources", "sample data")
_DATA_FILES = (".h5ad", ".h5", ".csv", ".tsv", ".parquet", ".npz", ".mtx", ".zarr")
_SDKS = ("gradio", "docker", "static")
_LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]*")
_LONGEST_DESCRIPTION = 60  # the Hub refuses more


def check_card(folder: str | Path, content: str, kind: RepositoryKind, files: list[str]) -> list[str]:
    """List what a card lacks, one sentence each; an empty list is what one wants.

    huggingface_hub reads the card as the Hub's users do; the Hub's own validation follows when it is uploaded.

    Args:
        folder: that the card is for.
        content: the card.
        kind: kind of the folder.
        files: that go up with it.
    """
    try:
        card = _CARDS[kind.repo_type](content, ignore_metadata_errors=False)
    except (ValueError, yaml.YAMLError) as error:
        return [f"{CARD_FILE} has metadata that cannot be read ({' '.join(str(error).split())[:200]})"]
    metadata = card.data.to_dict()
    if not metadata:
        return [f"{CARD_FILE} has no metadata: it has to begin with a yaml block between lines of ---"]
    problems = [*_check_licence(metadata), *_check_ids(metadata), *_check_text(card.text)]
    if kind == SPACE:
        problems += [*_check_space(Path(folder), metadata), *_check_sample_data(card.text, files)]
    elif kind == SHARDS:
        if not any(source.get("name") for source in read_manifest(folder).sources):
            problems.append("manifest.json names no sources: data whose origin nobody knows are not published")
    else:
        problems += [*_check_data(metadata, card.text), *_check_library(metadata, kind)]
    return [f"{CARD_FILE} {problem}" if not problem.startswith("manifest") else problem for problem in problems]


def sections(text: str) -> dict[str, str]:
    """Return the text below each heading of a card, by the heading in lower case; code blocks have no headings.

    >>> sections("# A" + chr(10) + "## Training data" + chr(10) + "Cells.")
    {'a': '', 'training data': 'Cells.'}
    """
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    in_code = False
    for line in text.splitlines():
        in_code ^= line.startswith("```")
        if not in_code and (match := re.match(r"#{1,6}\s+(.+)", line)):
            lines = found.setdefault(match[1].strip().lower(), [])
        else:
            lines.append(line)
    return {heading: "\n".join(body).strip() for heading, body in found.items()}


def _check_licence(metadata: dict) -> Iterator[str]:
    licence = metadata.get("license")
    if not licence:
        yield "has no license in its metadata (such as license: apache-2.0)"
    for one in [licence] if isinstance(licence, str) else licence or []:
        if not isinstance(one, str) or not _LICENCE.fullmatch(one):
            yield f"has the license {one!r}; give the Hub's identifier in small letters, such as apache-2.0"
        elif one == "other" and not metadata.get("license_name"):
            yield "has license: other without license_name"


def _check_ids(metadata: dict) -> Iterator[str]:
    for field in ("base_model", "datasets", "models"):
        value = metadata.get(field) or []
        for one in [value] if isinstance(value, str) else value:
            try:
                validate_repo_id(one)
            except HFValidationError:
                yield f"names {one!r} as {field}, which is no Hub id"


def _check_text(text: str) -> Iterator[str]:
    if not re.search(r"^#\s+\S", text, re.MULTILINE):
        yield "has no heading"
    # A ``` block may hold anything, such as a template of another language.
    if match := _NOT_FILLED.search(re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)):
        yield f"has a field that was never filled: {match[0][:60]}"


def _check_data(metadata: dict, text: str) -> Iterator[str]:
    named = sections(text)
    if not metadata.get("datasets") and not any(named.get(section) for section in _DATA_SECTIONS):
        yield "does not say what data it learned from: it needs a section Training data, or datasets in its metadata"


def _check_library(metadata: dict, kind: RepositoryKind) -> Iterator[str]:
    expected = {MODEL: "transformers", ADAPTER: "peft"}[kind]
    if metadata.get("library_name") != expected:
        yield f"has library_name {metadata.get('library_name')!r}; of a LangCell {kind.name} it is {expected}"


def _check_space(folder: Path, metadata: dict) -> Iterator[str]:
    sdk = metadata.get("sdk")
    if sdk not in _SDKS:
        yield f"has sdk {sdk!r}; a Space has one of {', '.join(_SDKS)}"
    if not metadata.get("title"):
        yield "has no title in its metadata"
    if sdk == "gradio":
        if not metadata.get("sdk_version"):
            yield "has no sdk_version: the Space would run with another Gradio than it was tested with"
        if not (folder / str(metadata.get("app_file", "app.py"))).is_file():
            yield f"names app_file {metadata.get('app_file')}, which is not there"
        if not (folder / "requirements.txt").is_file():
            yield "is for a Space without requirements.txt: langcell would not be installed"
    if len(str(metadata.get("short_description", ""))) > _LONGEST_DESCRIPTION:
        yield f"has a short_description of more than {_LONGEST_DESCRIPTION} characters"


def _check_sample_data(text: str, files: list[str]) -> Iterator[str]:
    data = [name for name in files if name.endswith(_DATA_FILES)]
    named = sections(text)
    if data and not any(named.get(section) for section in _DATA_SECTIONS):
        yield f"does not say where {data[0]} comes from: it needs a section Sample data"
