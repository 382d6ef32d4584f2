"""Paraphrases of descriptions: the same metadata in several forms, so that a model does not learn one template.

A description in its plain form is its own list of ingredients: `parse_description` takes it apart into pieces (aspect,
name, definition), whatever ontology they came from, and a template puts the pieces together in another form. So a table
of descriptions needs to hold each plain text once, and training draws paraphrases from it; inference uses plain texts
alone.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

ASPECTS = (
    "cell type",
    "tissue",
    "development stage",
    "disease",
    "sex",
    "self-reported ethnicity",
    "assay",
    "suspension type",
    "experimental condition",
    "genetic perturbation",
)
ALWAYS_KEPT = ("cell type",)
"""What aspect dropout leaves in: without its cell type a text is true of cells that the losses take for negatives."""

_PIECE = re.compile(rf"(?:^|(?<=; ))({'|'.join(map(re.escape, ASPECTS))}): ")
# A full stop that ends no name: "st. louis encephalitis", "graft vs. host disease", "c. elegans embryo stage".
_ABBREVIATED = re.compile(r"^[a-z]$|(?:^|[\s(])(?:st|vs|al|cv|cl|sec|spp?|subsp)$")


class Piece(NamedTuple):
    """One term of a description; `definition` is "" where there is none."""

    aspect: str
    name: str
    definition: str

    def __str__(self) -> str:
        body = f"{self.name}. {self.definition}" if self.definition else self.name
        return f"{self.aspect}: {body}; "


Template = Callable[[Sequence[Piece], np.random.Generator], str]


def parse_description(text: str) -> list[Piece]:
    """Take a plain description apart; the pieces put together are the text again.

    Args:
        text: what `descriptions.describe` writes.

    Returns:
        The pieces in the order of the text; none for a text of another form.

    >>> for piece in parse_description("cell type: b cell. a lymphocyte of b lineage.; sex: male; "):
    ...     print(tuple(piece))
    ('cell type', 'b cell', 'a lymphocyte of b lineage.')
    ('sex', 'male', '')
    """
    starts = [match.start() for match in _PIECE.finditer(text)]
    if not starts or starts[0] != 0 or not text.endswith("; "):
        return []
    bounds = [*starts, len(text)]
    return [_parse_piece(text[start:stop]) for start, stop in pairwise(bounds)]


def _parse_piece(piece: str) -> Piece:
    aspect, _, body = piece.removesuffix("; ").partition(": ")
    for stop in re.finditer(r"\. ", body):
        if not _ABBREVIATED.search(body[: stop.start()]):
            return Piece(aspect, body[: stop.start()], body[stop.end() :])
    return Piece(aspect, body, "")


def _plain(pieces: Sequence[Piece], rng: np.random.Generator) -> str:
    """`cell type: b cell. a lymphocyte ...; tissue: blood. ...; `, the form of inference."""
    return "".join(map(str, pieces))


def _names(pieces: Sequence[Piece], rng: np.random.Generator) -> str:
    """`cell type: b cell; tissue: blood; `, without definitions."""
    return "".join(f"{piece.aspect}: {piece.name}; " for piece in pieces)


def _reordered(pieces: Sequence[Piece], rng: np.random.Generator) -> str:
    """Return the plain form with the pieces in another order."""
    return "".join(str(pieces[i]) for i in rng.permutation(len(pieces)))


def _definition_first(pieces: Sequence[Piece], rng: np.random.Generator) -> str:
    """`cell type: a lymphocyte ... (b cell); tissue: blood; `: what the cell type is, then what it is called."""
    return "".join(
        f"{piece.aspect}: {piece.definition.rstrip('.')} ({piece.name}); "
        if piece.definition and piece.aspect == "cell type"
        else f"{piece.aspect}: {piece.name}; "
        for piece in pieces
    )


def _sentence(pieces: Sequence[Piece], rng: np.random.Generator) -> str:
    """`a b cell from blood, with covid-19, of a male donor, measured by 10x 3' v3.` and what its cell type is."""
    names = {aspect: [piece.name for piece in pieces if piece.aspect == aspect] for aspect in ASPECTS}
    cell = " or ".join(names["cell type"]) or "cell"
    parts = [f"{'an' if cell[0] in 'aeiou' else 'a'} {cell}"]
    if names["tissue"]:
        parts[0] += f" from {_and(names['tissue'])}"
    parts += [f"at the {stage}" if stage.endswith("stage") else f"at {stage}" for stage in names["development stage"]]
    if names["disease"]:
        healthy = names["disease"] == ["normal"]
        parts.append("in health" if healthy else f"with {_and(names['disease'])}")
    if names["experimental condition"]:
        parts.append(f"treated with {_and(names['experimental condition'])}")
    if names["genetic perturbation"]:
        parts.append(f"with the genetic perturbation {_and(names['genetic perturbation'])}")
    donor = [*names["sex"], *names["self-reported ethnicity"]]
    if donor:
        parts.append(f"of a donor who is {_and(donor)}")
    if names["assay"]:
        parts.append(f"measured by {_and(names['assay'])}")
    if names["suspension type"]:
        parts.append(f"in a suspension of {_and(names['suspension type'])}")
    defined = [f" {piece.name}: {piece.definition}" for piece in pieces if piece.aspect == "cell type" and piece[2]]
    return f"{', '.join(parts)}.{''.join(defined)}"


def _and(names: Sequence[str]) -> str:
    return " and ".join(names)


TEMPLATES: Mapping[str, Template] = MappingProxyType(
    {
        "plain": _plain,
        "names": _names,
        "reordered": _reordered,
        "definition first": _definition_first,
        "sentence": _sentence,
    }
)


def render(pieces: Sequence[Piece], template: str, *, rng: np.random.Generator | None = None) -> str:
    """Return the pieces as text.

    Args:
        pieces: what `parse_description` gives.
        template: one of `TEMPLATES`.
        rng: decides what a template leaves open (the order of "reordered").

    Raises:
        ValueError: no such template.

    >>> pieces = parse_description("cell type: b cell. a lymphocyte.; tissue: blood; disease: normal; ")
    >>> render(pieces, "sentence")
    'a b cell from blood, in health. b cell: a lymphocyte.'
    """
    if template not in TEMPLATES:
        raise ValueError(f"Unknown template {template!r}. Choose among: {', '.join(TEMPLATES)}.")
    return TEMPLATES[template](pieces, rng if rng is not None else np.random.default_rng(0)) if pieces else ""


def paraphrase(text: str, variant: int, *, seed: int, dropout: float = 0.0) -> str:
    """Return the variant number `variant` of a description, for training.

    Template, order and dropped aspects follow from (seed, text, variant) alone. Variant 0 is the text itself, the form
    of inference, from which nothing is ever dropped; so is every variant of a text that is not in the plain form.

    Args:
        text: a plain description.
        variant: from 0.
        seed: random seed of the draws.
        dropout: probability that an aspect other than `ALWAYS_KEPT` is left out; one aspect always stays.

    Raises:
        ValueError: `dropout` is no probability below 1, or `variant` is negative.

    >>> text = "cell type: b cell. a lymphocyte.; tissue: blood; "
    >>> for variant in (0, 1, 4):
    ...     print(repr(paraphrase(text, variant, seed=0)))
    'cell type: b cell. a lymphocyte.; tissue: blood; '
    'tissue: blood; cell type: b cell. a lymphocyte.; '
    'a b cell from blood. b cell: a lymphocyte.'
    """
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout is {dropout}; it has to be at least 0 and less than 1.")
    if variant < 0:
        raise ValueError(f"variant is {variant}; variants are counted from 0.")
    pieces = parse_description(text) if variant else []
    if not pieces:
        return text
    # sha256, because Python's own hash of a text differs from process to process.
    rng = np.random.default_rng([seed, variant, int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")])
    template = list(TEMPLATES)[int(rng.integers(len(TEMPLATES)))]
    return render(_drop(pieces, dropout, rng), template, rng=rng)


def _drop(pieces: Sequence[Piece], dropout: float, rng: np.random.Generator) -> list[Piece]:
    aspects = list(dict.fromkeys(piece.aspect for piece in pieces))
    kept = {aspect for aspect in aspects if rng.random() >= dropout or aspect in ALWAYS_KEPT}
    kept = kept or {aspects[int(rng.integers(len(aspects)))]}
    return [piece for piece in pieces if piece.aspect in kept]
