"""Fit what makes a probability of a name, on real cells of known types, and say how well it holds on sets left out.

python training/fit_confidence.py pbmc3k.h5ad colorectal_scmetalink.h5ad pancreas_celseq_grun_muraro.h5ad \
    onek1k_pbmc_1000genes.h5ad onek1k_bcells_817genes.h5ad --without CL:0001064 --write hub_cards/langcell-mini

The 700 cells of scanpy's sample join the files. Each set is named with its own types as candidates, and with 20 more;
sets of many genes also as panels of 500 variable genes. Sets count alike, and so do the forms of a set.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
from scipy import sparse
from scipy.special import expit

from langcell.inference.refinement.confidence import (
    Calibration,
    alone_evidence,
    fit_calibration,
    refined_evidence,
)
from langcell.inference.refinement.file_refinement import FileRefinement, heard_cells
from langcell.inference.refinement.placing import Block, CellsInFile
from langcell.inference.scored_cells import score_data
from langcell.loading.load import load
from langcell.loading.loaded import LoadedScorer
from langcell.processing.files.atomic_output import atomic_output
from langcell.processing.labels.resolve import resolve_labels
from langcell.processing.ontology.terms import Ontology
from langcell.sample_data import sample_cells

MOST_CELLS = 2_000
N_MORE = 20
PANEL_GENES = 500
# Sets of fewer genes are panels already.
_LEAST_GENES_FOR_PANEL = 3_000
_BINS = 10
_SOURCE = "logistic regressions on {} real sets, with their own types, with 20 more candidates, and as panels"


@dataclass(frozen=True, eq=False)
class NamedForm:
    """A set, named in one way.

    Attributes:
        name: name of the set.
        similarity: cos / temperature, shape (cells, labels).
        posterior: posterior of the file, likewise.
        agreement: see `FileRefinement.heard`, likewise.
        truth: int, shape (cells,); column of the true type.
    """

    name: str
    similarity: np.ndarray
    posterior: np.ndarray
    agreement: np.ndarray
    truth: np.ndarray

    def evidence(self, kind: str) -> np.ndarray:
        """Return the evidence of each "refined" or "alone" name, shape (cells,)."""
        if kind == "alone":
            return alone_evidence(self.similarity, self.similarity.argmax(axis=1))
        return refined_evidence(self.agreement, self.posterior.argmax(axis=1))

    def right(self, kind: str) -> np.ndarray:
        """Return whether each of these names is right, bool, shape (cells,)."""
        return (self.similarity if kind == "alone" else self.posterior).argmax(axis=1) == self.truth


def named_forms(loaded: LoadedScorer, sets: Sequence[tuple[str, ad.AnnData]], *, seed: int = 0) -> Iterator[NamedForm]:
    """Name each set in each form.

    Args:
        loaded: the model.
        sets: name and cells of each, with their types in obs["cl_id"].
        seed: random seed of what is drawn: cells of a large set, candidates, genes of a panel.
    """
    for name, cells in sets:
        rng = np.random.default_rng(seed)
        if cells.n_obs > MOST_CELLS:
            cells = cells[np.sort(rng.choice(cells.n_obs, MOST_CELLS, replace=False))].copy()
        own = sorted(set(cells.obs["cl_id"].astype(str)))
        lists = [own, [*own, *_more_types(loaded, own, rng)]]
        forms = [cells]
        if cells.n_vars >= _LEAST_GENES_FOR_PANEL:
            forms.append(_panel(cells, rng))
        for form in forms:
            for types in lists:
                yield _named(loaded, name, form, types)


def fit(forms: Sequence[NamedForm], kind: str) -> Calibration:
    """Fit the calibration of "refined" or "alone" names to all forms, sets weighted alike."""
    n_forms = Counter(form.name for form in forms)
    weights = [np.full(len(form.truth), 1 / len(form.truth) / n_forms[form.name]) for form in forms]
    evidence, right = ([getattr(form, what)(kind) for form in forms] for what in ("evidence", "right"))
    return fit_calibration(*(np.concatenate(values) for values in (evidence, right, weights)))


def calibration_error(form: NamedForm, calibration: Calibration, kind: str) -> float:
    """Return the expected calibration error of a form over ten bins of equal width."""
    found = expit(calibration.slope * form.evidence(kind) + calibration.intercept)
    right, bins = form.right(kind), np.minimum((found * _BINS).astype(int), _BINS - 1)
    gaps = [abs(found[bins == b].mean() - right[bins == b].mean()) * (bins == b).mean() for b in np.unique(bins)]
    return float(np.sum(gaps))


def write_confidence(folder: Path, calibrations: dict[str, Calibration], n_sets: int) -> None:
    """Write the calibrations into the configuration of a model's folder."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    numbers = {
        key: [round(calibrations[kind].slope, 2), round(calibrations[kind].intercept, 2)]
        for key, kind in (("agreement", "refined"), ("alone", "alone"))
    }
    config["confidence"] = {**numbers, "source": _SOURCE.format(n_sets)}
    with atomic_output(path) as building:
        building.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def _named(loaded: LoadedScorer, name: str, cells: ad.AnnData, types: Sequence[str]) -> NamedForm:
    scored = score_data(cells, resolve_labels(types), loaded=loaded, match=False, x_is="linear")
    similarity = np.where(scored.known[:, None], scored.similarity, np.nan)
    block = Block(similarity, scored.places, CellsInFile())
    heard = heard_cells(block)
    block = block.rows(np.flatnonzero(heard))
    voice = FileRefinement(_Rows(block)).heard(block)
    column = {term: place for place, term in enumerate(types)}
    truth = np.array([column[term] for term in cells.obs["cl_id"].astype(str)])[heard]
    return NamedForm(name, block.similarity, voice.posterior, voice.agreement, truth)


@dataclass(frozen=True)
class _Rows:
    sample: Block


def _more_types(loaded: LoadedScorer, own: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Draw types of the training that are neither above nor below a type of the set."""
    ontology = Ontology.cellxgene()
    related = set(own).union(*(ontology.ancestors(term) | ontology.descendants(term) for term in own))
    trained = loaded.config.training_cell_types or ()
    others = [term for term in trained if term in ontology and term not in related]
    return sorted(rng.choice(others, N_MORE, replace=False).tolist())


def _panel(cells: ad.AnnData, rng: np.random.Generator) -> ad.AnnData:
    """Return a third of the 1,500 most variable genes."""
    values: Any = sparse.csc_matrix(cells.X)
    values = values.log1p()
    variance = np.asarray(values.power(2).mean(axis=0)).ravel() - np.asarray(values.mean(axis=0)).ravel() ** 2
    genes = rng.choice(np.argsort(-variance, kind="stable")[: 3 * PANEL_GENES], PANEL_GENES, replace=False)
    return cells[:, np.sort(genes)].copy()


def _sets(paths: Sequence[Path], without: Sequence[str]) -> list[tuple[str, ad.AnnData]]:
    sample = sample_cells()
    names = sample.obs["cell_type"].astype(str).tolist()
    term_of = {label.name: label.ontology_term_id for label in resolve_labels(sorted(set(names)))}
    sample.obs["cl_id"] = [term_of[name] for name in names]
    found = [(path.stem, ad.read_h5ad(path)) for path in paths] + [("the 700", sample)]
    return [(name, cells[~cells.obs["cl_id"].astype(str).isin(without).to_numpy()].copy()) for name, cells in found]


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit the calibrations, print what they give on sets that they were not fitted to, and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cells", type=Path, nargs="+", help='h5ad files with Cell Ontology ids in obs["cl_id"]')
    parser.add_argument("--model", default=None, help="folder of the model (default: the bundled one)")
    parser.add_argument("--without", nargs="*", default=[], help="types that are left out of the sets")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", type=Path, help="folder of the model whose config.json gets the result")
    options = parser.parse_args(arguments)
    loaded = load(options.model) if options.model else load()
    forms = list(named_forms(loaded, _sets(options.cells, options.without), seed=options.seed))
    names = list(dict.fromkeys(form.name for form in forms))
    calibrations = {}
    for kind in ("refined", "alone"):
        calibrations[kind] = fit(forms, kind)
        print(f"{kind}: {calibrations[kind].slope:.2f}, {calibrations[kind].intercept:.2f}; ECE fitted on the others:")
        for name in names:
            held_out = fit([form for form in forms if form.name != name], kind)
            errors = [calibration_error(form, held_out, kind) for form in forms if form.name == name]
            print(f"  {name}: own types {errors[0]:.3f}, all forms {', '.join(f'{error:.3f}' for error in errors)}")
    if options.write is not None:
        write_confidence(options.write, calibrations, len(names))
    return 0


if __name__ == "__main__":
    sys.exit(main())
