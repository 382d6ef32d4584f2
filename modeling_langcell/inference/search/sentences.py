"""Sentences of function ("a cell that makes antibodies"), read as the cell types that they speak of.

The text tower was trained on names, synonyms and definitions. What a sentence without any of them means for cells is
learned apart, by multinomial logistic regression from the tower's mean state to the types of the training
(`training/sentences`). A cell's score is the probability that its type is one that the sentence speaks of:

    score(cell, sentence) = sum over types of P(type | sentence) * P(type | cell) / best(sentence)
    P(type | cell) = softmax(cosine(cell, text of the type) / temperature)

best(sentence) is the greatest such sum that the mean cells of any type reach, so that 1 is what a typical cell of the
right type has, whatever the sentence.

The file `sentence_types.npz` of a model folder holds the regression. Models without it compare the sentence itself with
the cells, as with any other text.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import softmax
from transformers.utils.hub import cached_file

from langcell.inference.scoring.texts import embed_with
from langcell.loading.load import LoadedLangCell
from langcell.processing.labels.resolve import Label
from langcell.processing.ontology.terms import Ontology
from langcell.processing.reference_cells import weights_fingerprint

SENTENCES_FILE = "sentence_types.npz"

# Below this part of the score that a mean cell of the right type has, no cell of a file fits a sentence.
LEAST_FIT = 0.25

_TYPES_NAMED = 3
_LEAST_NAMED = 0.05
_TEXTS_AT_ONCE = 256

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class SentenceTypes:
    """Which types a sentence speaks of, and what their texts are in the space of the cells.

    Attributes:
        types: Cell Ontology ids of the types.
        weights: float32, (types, hidden size of the text encoder).
        bias: float32, (types,).
        embeds: float32, (types, projection_dim); unit vectors of the types' texts.
        typical: float32, (types, types); row t is P(type | cell) of the mean cells of type t.
        temperature: divisor of the cosine in P(type | cell).
        made_by: fingerprint of the text encoder whose states are read.
    """

    types: tuple[str, ...]
    weights: np.ndarray
    bias: np.ndarray
    embeds: np.ndarray
    typical: np.ndarray
    temperature: float
    made_by: str

    def read(self, states: np.ndarray) -> np.ndarray:
        """Return P(type | sentence), float32, (sentences, types), from mean states, (sentences, hidden size)."""
        return softmax(states @ self.weights.T + self.bias, axis=1)

    def of_cells(self, cells: np.ndarray) -> np.ndarray:
        """Return P(type | cell), float32, (cells, types), from unit vectors, (cells, projection_dim)."""
        return softmax(cells.astype(np.float32) @ self.embeds.T / self.temperature, axis=1)

    def best_possible(self, shares: np.ndarray) -> np.ndarray:
        """Return the greatest score that mean cells of any type have, (sentences,), for P(type | sentence)."""
        return (shares @ self.typical.T).max(axis=1)

    def save(self, path: str | Path) -> None:
        """Write the file in half precision; the same numbers give the same bytes."""
        half = {name: getattr(self, name).astype(np.float16) for name in ("weights", "bias", "embeds", "typical")}
        facts = {"types": np.array(self.types), "temperature": np.float32(self.temperature), "made_by": self.made_by}
        with open(path, "wb") as file:
            np.savez_compressed(file, allow_pickle=False, **half, **facts)  # pyright: ignore[reportArgumentType]  # str is an array too

    @classmethod
    def load(cls, path: str | Path) -> "SentenceTypes":
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            numbers = {name: arrays[name].astype(np.float32) for name in ("weights", "bias", "embeds", "typical")}
            types = tuple(map(str, arrays["types"]))
            return cls(types, **numbers, temperature=float(arrays["temperature"]), made_by=str(arrays["made_by"]))


def sentence_types_of(loaded: Any) -> SentenceTypes | None:
    """Return the regression in a model's folder, or None where there is none or another text encoder made it."""
    if not isinstance(loaded, LoadedLangCell) or not str(loaded.source):
        return None
    path = cached_file(
        str(loaded.source),
        SENTENCES_FILE,
        revision=None if Path(loaded.source).is_dir() else loaded.revision.split("+")[0],
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    if path is None:
        return None
    found = SentenceTypes.load(path)
    if found.made_by != weights_fingerprint(loaded.model.text_encoder):
        log.warning(
            "%s was made by another text encoder than that of %s; sentences are compared with cells as they are.",
            SENTENCES_FILE,
            loaded.model_id,
        )
        return None
    return found


@torch.inference_mode()
def mean_states(loaded: LoadedLangCell, texts: Sequence[str]) -> np.ndarray:
    """Return unit vectors of the text encoder's last states, averaged over each text, float32, (texts, hidden size)."""
    encoder, device = loaded.model.text_encoder, loaded.model.device
    parts = []
    for begin in range(0, len(texts), _TEXTS_AT_ONCE):
        tokens = loaded.processor(text=list(texts[begin : begin + _TEXTS_AT_ONCE]), return_tensors="pt").to(device)
        mask = tokens["attention_mask"]
        states = encoder.embeddings(tokens["input_ids"])
        for layer in encoder.layer:
            states = layer(states, mask)
        mean = (states.float() * mask[..., None]).sum(1)
        parts.append(torch.nn.functional.normalize(mean, dim=-1).cpu().numpy())
    return np.concatenate(parts)


def search_by_types(
    blocks: Iterable[tuple[int, np.ndarray]], reader: SentenceTypes, shares: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the k cells with the greatest score for each sentence; of equal cells the first wins.

    Args:
        blocks: first row and unit vectors, (rows, projection_dim), of consecutive blocks of cells.
        reader: reader of the model that made the vectors.
        shares: P(type | sentence), (sentences, types).
        k: cells wanted; all of them where there are fewer.

    Returns:
        Scores (1: as a typical cell of the right type), falling, and row numbers, int64; both of shape
        (sentences, min(k, cells)).
    """
    shares = shares / reader.best_possible(shares)[:, None]
    best = np.empty((len(shares), 0), dtype=np.float32)
    rows = np.empty((len(shares), 0), dtype=np.int64)
    for start, block in blocks:
        scores = shares @ reader.of_cells(block).T
        both = np.concatenate([best, scores], axis=1)
        numbers = np.concatenate([rows, np.broadcast_to(start + np.arange(len(block)), scores.shape)], axis=1)
        order = np.argsort(-both, axis=1, kind="stable")[:, :k]
        best, rows = np.take_along_axis(both, order, axis=1), np.take_along_axis(numbers, order, axis=1)
    return best.astype(np.float32), rows


def score_sentences(loaded: Any, texts: Sequence[str], cells: np.ndarray) -> np.ndarray:
    """Return the score of every cell for every sentence, float32, (sentences, cells).

    Args:
        loaded: the model that made the cells' embeddings.
        texts: sentences.
        cells: unit vectors, (cells, projection_dim).
    """
    reader = sentence_types_of(loaded)
    if reader is None:
        return embed_with(loaded, texts) @ cells.T
    return reader.read(mean_states(loaded, texts)) @ reader.of_cells(cells).T


def reading_note(sentence: str, reader: SentenceTypes, share: np.ndarray, best_score: float) -> str:
    """Say which types a sentence is read as, and whether any cell fits; `share` is P(type | sentence), (types,)."""
    ontology = Ontology.cellxgene()
    order = np.argsort(-share, kind="stable")[:_TYPES_NAMED]
    named = [f"{ontology.term(reader.types[i]).name} {share[i]:.0%}" for i in order if share[i] >= _LEAST_NAMED]
    read_as = ", ".join(named) if named else "no type in particular"
    return f"{sentence!r} is read as {read_as}." + _no_fit(best_score)


def no_fit_note(label: Label, reader: SentenceTypes, cells: np.ndarray) -> str:
    """Say where none of the cells found for the name of a known type fits it; "" otherwise.

    Args:
        label: what was looked for.
        reader: reader of the model.
        cells: unit vectors of what was found, (cells, projection_dim).
    """
    if label.ontology_term_id not in reader.types or not len(cells):
        return ""
    share = np.array([type_id == label.ontology_term_id for type_id in reader.types], dtype=np.float32)
    best = float((reader.of_cells(cells) @ share).max() / reader.best_possible(share[None])[0])
    text = _no_fit(best)
    return f"{label.name}:{text}" if text else ""


def _no_fit(best_score: float) -> str:
    if best_score >= LEAST_FIT:
        return ""
    return f" No cell fits well: the best one has {best_score:.0%} of the score of a typical cell of that type."
