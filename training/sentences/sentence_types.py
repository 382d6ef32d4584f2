"""Fit the regression from sentences to types that `langcell.inference.search.sentences` reads.

python -m langcell.training.sentences.sentence_types hub_cards/langcell-mini

Its sentences are `type_sentences.tsv`, written for this purpose: what cells do, where they are, what they are known
for. Names, synonyms and definitions of the types join them. The sentences that models are judged by
(`training/evaluation/inputs/function_sentences.tsv`) are no part of it, and neither is any sentence that has half of
its words in common with one of them.
"""

import argparse
import csv
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path

import numpy as np
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from langcell.inference.running.batching import for_each_batch
from langcell.inference.scoring.reference import embed_batch
from langcell.inference.scoring.texts import embed_with
from langcell.inference.search.sentences import SENTENCES_FILE, SentenceTypes, mean_states
from langcell.loading.load import LoadedLangCell, load
from langcell.processing.files.atomic_output import atomic_output
from langcell.processing.ontology.descriptions import describe_term
from langcell.processing.ontology.terms import Ontology
from langcell.processing.reference_cells import weights_fingerprint

TYPE_SENTENCES_FILE = "type_sentences.tsv"

# Inverse strength of the penalty, and the most steps of the solver; see EXPERIMENTS.
C, MOST_STEPS = 10.0, 1000
_TOKENS_PER_BATCH = 4096


def type_sentences(ontology: Ontology) -> list[tuple[str, str]]:
    """Read the sentences to learn from: pairs of a type's current Cell Ontology id and a sentence."""
    file = files("langcell.training.sentences").joinpath(TYPE_SENTENCES_FILE)
    with file.open(encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened, delimiter="\t"))
    return [(ontology.current(row["cl_id"]).id, row["sentence"]) for row in rows]


def fit_sentence_types(loaded: LoadedLangCell) -> SentenceTypes:
    """Learn which of a model's training types a sentence speaks of.

    Args:
        loaded: a model with reference cells that lists its training types.

    Raises:
        ValueError: it lists none, or has no reference cells.
    """
    reference = loaded.processor.feature_extractor.reference_cells
    if not loaded.config.training_cell_types or reference is None or not reference.types:
        raise ValueError(
            f"{loaded.model_id} lists no training types or has no reference cells; sentences are read as these types."
        )
    ontology = Ontology.cellxgene()
    types = sorted({ontology.current(type_id).id for type_id in loaded.config.training_cell_types})
    code_of = {type_id: code for code, type_id in enumerate(types)}
    learned = [pair for pair in type_sentences(ontology) if pair[0] in code_of]
    learned += [pair for type_id in types for pair in _terms_own_texts(type_id, ontology)]
    states = mean_states(loaded, [text for _, text in learned])
    centre = states.mean(axis=0)
    regression = LogisticRegression(C=C, max_iter=MOST_STEPS, class_weight="balanced")
    regression.fit(states - centre, [code_of[type_id] for type_id, _ in learned])
    embeds = embed_with(loaded, [describe_term("cell type", ontology.term(type_id)) for type_id in types])
    temperature = loaded.config.logit_temperature
    weights = regression.coef_.astype(np.float32)
    return SentenceTypes(
        types=tuple(types),
        weights=weights,
        bias=(regression.intercept_ - weights @ centre).astype(np.float32),
        embeds=embeds,
        typical=_typical(loaded, types, embeds, temperature, ontology),
        temperature=temperature,
        made_by=weights_fingerprint(loaded.model.text_encoder),
    )


def _terms_own_texts(type_id: str, ontology: Ontology) -> Iterator[tuple[str, str]]:
    term = ontology.term(type_id)
    for text in dict.fromkeys((term.name, *term.synonyms, term.definition or term.name)):
        yield type_id, text


def _typical(
    loaded: LoadedLangCell, types: Sequence[str], embeds: np.ndarray, temperature: float, ontology: Ontology
) -> np.ndarray:
    """Return what the mean cells of each type are taken for, P(type | cell), (types, types)."""
    extractor = loaded.processor.feature_extractor
    reference = extractor.reference_cells
    assert reference is not None
    lists = reference.in_all_genes(extractor.vocabulary, max_length=loaded.config.cell_config.max_position_embeddings)
    (of_cells,) = for_each_batch(loaded, lists, _TOKENS_PER_BATCH, partial(embed_batch, loaded.encoders))
    shares = softmax(of_cells @ embeds.T / temperature, axis=1)
    type_of = np.array([ontology.current(reference.types[text]).id for text in reference.text_of])
    return np.stack([shares[type_of == type_id].mean(axis=0) for type_id in types]).astype(np.float32)


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit the regression for a model folder and write it there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="model folder to read and to write sentence_types.npz into")
    options = parser.parse_args(arguments)
    try:
        store_sentence_types(options.model)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def store_sentence_types(folder: Path) -> None:
    """Fit the regression of the model in a folder, and write it into the same folder.

    Raises:
        ValueError: see `fit_sentence_types`, or the folder holds no model.
    """
    fitted = fit_sentence_types(load(folder, device="cpu"))
    with atomic_output(folder / SENTENCES_FILE) as temporary:
        fitted.save(temporary)


if __name__ == "__main__":
    sys.exit(main())
