"""A card filled from what a folder says of itself: configuration, provenance, conversion, fine-tuning, manifest."""

import json
import math
from collections.abc import Sequence
from dataclasses import fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from safetensors import safe_open

from langcell.hub_cards.cards.adapter_cards import HISTORY_FILE, fine_tuned_card
from langcell.hub_cards.cards.benchmark_results import write_benchmark_results
from langcell.hub_cards.cards.cards import converted_model_card, model_card
from langcell.hub_cards.cards.dataset_cards import write_dataset_card
from langcell.hub_cards.cards.measurements import all_results
from langcell.hub_cards.cards.options import CardOptions
from langcell.hub_cards.cards.repository_kinds import ADAPTER, CARD_FILE, SHARDS, SPACE, RepositoryKind, check_repo_id
from langcell.hub_cards.cards.space_cards import space_card
from langcell.loading.weight_files import read_config
from langcell.processing.files.atomic_output import atomic_output

PROVENANCE_FILE = "provenance.json"
_CONVERSION_FILE = "conversion.json"
_LIMITS = (
    "Human genes only, and only those of its gene vocabulary.",
    "Scores rank the labels; the confidence is no calibrated probability, and one of the given labels always wins.",
    "For research; not for diagnosis.",
)

_OF_SHARDS = ("title", "summary", "license_id", "licence")
_OF_SPACES = (*_OF_SHARDS, "data", "models")
_OF_MEASURED = ("measurements", "benchmark")
_OF_FINE_TUNED = (*_OF_SHARDS, "data", "base_model", "limits", *_OF_MEASURED)
_OF_PRETRAINED = (*_OF_FINE_TUNED, "datasets")


def write_card(folder: str | Path, repo_id: str, kind: RepositoryKind, options: CardOptions) -> Path:
    """Write the card, README.md, into a folder, in place of one that is there; with a benchmark its results, too.

    Args:
        folder: folder of a model, an adapter, shards or a Space.
        repo_id: where it will be.
        kind: kind of the folder.
        options: what the folder's own files do not say.

    Raises:
        ValueError: the id is none, a file that the card is filled from is damaged, or the card of this kind has no
            place for an option.
    """
    folder = Path(folder)
    check_repo_id(repo_id)
    if kind == SHARDS:
        _refuse_others(options, _OF_SHARDS, "shards")
        return write_dataset_card(
            folder,
            repo_id,
            title=options.title,
            summary=options.summary,
            license_id=options.license_id,
            licence=options.licence,
        )
    if kind == SPACE:
        _refuse_others(options, _OF_SPACES, "a Space")
        card = _space_card(folder, repo_id, options)
    elif kind == ADAPTER or "fine_tuning" in read_config(folder):
        _refuse_others(options, _OF_FINE_TUNED, "a fine-tuned model")
        card = _fine_tuned_card(folder, repo_id, kind, options)
    elif (folder / _CONVERSION_FILE).is_file():
        _refuse_others(options, _OF_MEASURED, "a converted checkpoint, whose conversion.json says the rest,")
        facts = _read_json(folder / _CONVERSION_FILE)
        card = converted_model_card(repo_id, facts, measurements=options.measurements)
    else:
        _refuse_others(options, _OF_PRETRAINED, "a model")
        card = _pretrained_card(folder, repo_id, options)
    with atomic_output(folder / CARD_FILE) as temporary:
        temporary.write_text(str(card), encoding="utf-8", newline="\n")
    if options.benchmark is not None:
        write_benchmark_results(folder, all_results(options.measurements), options.benchmark)
    return folder / CARD_FILE


def _refuse_others(options: CardOptions, usable: Sequence[str], what: str) -> None:
    """Refuse what would be left out of the card without a word."""
    given = [one.name for one in fields(options) if getattr(options, one.name)]
    if strange := [name for name in given if name not in usable]:
        raise ValueError(f"The card of {what} has no place for {', '.join(strange)}; it takes {', '.join(usable)}.")


def describe_model(folder: Path) -> str:
    """Return a sentence on the size of a model, from its configuration and the header of its weights.

    Raises:
        ValueError: there is no configuration.
    """
    config = read_config(folder)
    parts = []
    for name, what in (("cell_config", "a cell encoder"), ("text_config", "a text encoder")):
        if isinstance(encoder := config.get(name), dict):
            parts.append(f"{what} of {encoder['num_hidden_layers']} layers of {encoder['hidden_size']}")
    count = count_parameters(folder)
    size = f", {count / 1e6:.1f} million parameters in all" if count else ""
    return f"A LangCell model: {' and '.join(parts)}{size}."


def count_parameters(folder: Path) -> int:
    """Return how many numbers are in a folder's safetensors files, by their headers alone."""
    total = 0
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="np") as file:
            total += sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    return total


def _pretrained_card(folder: Path, repo_id: str, options: CardOptions) -> Any:
    provenance = _read_json(folder / PROVENANCE_FILE) if (folder / PROVENANCE_FILE).is_file() else {}
    return model_card(
        model_id=repo_id,
        title=options.title or _name_in(repo_id),
        summary=options.summary or describe_model(folder),
        training_data=options.data or _training_data(provenance),
        making=_making(provenance),
        limits=(*options.limits, *_LIMITS),
        license_id=options.license_id,
        licence=options.licence,
        measurements=options.measurements,
        base_model=list(options.base_model) or None,
        datasets=options.datasets,
    )


def _fine_tuned_card(folder: Path, repo_id: str, kind: RepositoryKind, options: CardOptions) -> Any:
    history = _read_json(folder / HISTORY_FILE) if (folder / HISTORY_FILE).is_file() else []
    return fine_tuned_card(
        repo_id,
        read_config(folder)["fine_tuning"],
        is_adapter=kind == ADAPTER,
        history=history,
        measurements=options.measurements,
        license_id=options.license_id,
        licence=options.licence,
        base_model=next(iter(options.base_model), None),
        title=options.title,
        summary=options.summary,
        data=options.data,
        limits=options.limits,
    )


def _space_card(folder: Path, repo_id: str, options: CardOptions) -> Any:
    summary = {"summary": options.summary} if options.summary else {}
    return space_card(
        title=options.title or _name_in(repo_id),
        sdk_version=_gradio_version(folder),
        models=options.models,
        data=options.data,
        license_id=options.license_id,
        licence=options.licence,
        **summary,
    )


def _training_data(provenance: dict[str, Any]) -> str | None:
    """Return the shards that a run read, as a list."""
    lines = [
        f"- {_last_part(source['path'])}: {source['cells']:,} cells, weight {source['weight']:g}, manifest sha256 "
        f"`{source['manifest_sha256']}`"
        for source in provenance.get("data", [])
    ]
    return "\n".join(lines) or None


def _making(provenance: dict[str, Any]) -> str | None:
    """Steps, code and libraries of a run, as sentences; only those that it wrote down."""
    git, libraries = provenance.get("git"), provenance.get("libraries")
    sentences = []
    if "step" in provenance:
        sentences.append(f"Trained for {provenance['step']:,} steps; `pretraining.yaml` has every setting of the run.")
    if git:
        changed = ", with local changes" if git["changed"] else ""
        sentences.append(f"Code: revision `{git['revision']}`{changed}.")
    if libraries:
        sentences.append(f"Libraries: {', '.join(f'{name} {found}' for name, found in libraries.items())}.")
    return "\n".join(sentences) or None


def _gradio_version(folder: Path) -> str:
    """Return the version that requirements.txt pins, or else the installed one.

    Raises:
        ValueError: there is neither.
    """
    requirements = folder / "requirements.txt"
    lines = requirements.read_text(encoding="utf-8").splitlines() if requirements.is_file() else []
    for line in lines:
        if line.strip().startswith("gradio=="):
            return line.strip().removeprefix("gradio==").split()[0]
    try:
        return version("gradio")
    except PackageNotFoundError:
        raise ValueError(
            "A Space's card names the version of Gradio: pin gradio==... in requirements.txt, or "
            'pip install "langcell[app]".'
        ) from None


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); the card is filled from it.") from error


def _name_in(repo_id: str) -> str:
    return repo_id.rpartition("/")[2]


def _last_part(path: str) -> str:
    """Return a folder by its name, a Hub dataset by its id."""
    return path if path.count("/") == 1 and not path.startswith((".", "/", "~")) else Path(path).name
