"""The files that the pages speak of, made from the sample of blood cells, and a tiny model in place of the bundled one.

Every page is run in a copy of its own, so that pages can be run in any order and alone.
"""

import gzip
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import scanpy as sc
from scipy import sparse
from scipy.io import mmwrite
from tiny import MAX_CELL_LENGTH, MAX_TEXT_LENGTH, tiny_config, tiny_model, tiny_tokenizer

import langcell
from langcell.processing.feature_extraction_langcell import LangCellFeatureExtractor
from langcell.processing.genes import GeneVocabulary
from langcell.processing.labels.resolve import resolve_labels
from langcell.processing.processing_langcell import LangCellProcessor
from langcell.processing.rank_values import rank_encode
from langcell.processing.reference_cells import ReferenceCells
from langcell.sample_data import BULK_LABELS, sample_cells

MODEL_PLACE = "hub_cards/langcell-mini"
LABELS = list(BULK_LABELS.values())
_NAMES = ("AAACATACAACCAC-1", "AAACATTGAGCTAC-1")  # cells of PBMC 3k, by which pages call one
_STEP = 6  # every sixth cell of 700: enough for the cells of a file to name each other
_SAME_CELLS = ("cells", "others", "typed", "pbmc", "panel", "atlas", "labelled", "data/pbmc")


def page_cells() -> anndata.AnnData:
    """Cells with every column and matrix that the pages name."""
    cells = sample_cells()[::_STEP].copy()
    sample = sc.datasets.pbmc68k_reduced()[cells.obs_names]
    cells.obs_names = [*_NAMES, *cells.obs_names[len(_NAMES) :]]
    types = cells.obs["cell_type"].astype(str)
    ids = dict(zip(LABELS, ids_of(LABELS), strict=True))
    donors = [f"donor {i % 2}" for i in range(cells.n_obs)]
    cells.obs["author_cell_type"] = types
    cells.obs["cell_type_ontology_term_id"] = types.map(ids)
    cells.obs["expert_label"] = [label if i < 30 else None for i, label in enumerate(types)]
    cells.obs["some_labels"] = cells.obs["expert_label"]
    cells.obs["is_t_cell"] = types.str.contains("T cell")
    cells.obs["donor_id"] = donors
    cells.obs["leiden"] = pd.Categorical(cells.obs["louvain"].astype(str))
    cells.layers["counts"] = cells.X.copy()
    for name in ("X_pca", "X_umap"):
        cells.obsm[name] = np.asarray(sample.obsm[name], dtype=np.float32)
    cells.obsm["X_scVI"] = cells.obsm["X_pca"][:, :10].copy()
    return cells


def write_page_model(folder: Path, cells: anndata.AnnData) -> Path:
    """A tiny model that knows the genes, the types and the tissue of the sample, and compares cells with profiles."""
    symbols = [str(name) for name in cells.var_names]
    medians = np.random.default_rng(0).uniform(0.5, 8.0, len(symbols))
    vocabulary = GeneVocabulary(gene_ids(cells), medians, symbols)
    labels = resolve_labels(LABELS)
    of = np.array([LABELS.index(label) for label in cells.obs["cell_type"]])
    ranked = rank_encode(sparse.csr_matrix(cells.X), np.arange(len(symbols)), vocabulary, add_cls=False)
    reference = ReferenceCells(
        ranked.token_ids,
        ranked.offsets,
        tuple(label.text for label in labels),
        of,
        names=tuple(f"Blood|{LABELS[code]}|{i}" for i, code in enumerate(of)),
        types=tuple(str(label.ontology_term_id) for label in labels),
    )
    ids = sorted({str(label.ontology_term_id) for label in labels} | {"CL:0000182", "CL:0000786", "CL:0000233"})
    config = tiny_config(
        cell={"vocab_size": vocabulary.n_tokens, "num_hidden_layers": 1},
        text={"num_hidden_layers": 2},
        vocabulary_fingerprint=vocabulary.fingerprint,
        training_cell_types=ids,
        tissue_cell_types={"blood": [id_ for id_ in ids if id_ != "CL:0000182"], "liver": ["CL:0000182", "CL:0000236"]},
    )
    tiny_model(config).save_pretrained(folder)
    extractor = LangCellFeatureExtractor(vocabulary, max_length=MAX_CELL_LENGTH, reference_cells=reference)
    LangCellProcessor(extractor, tiny_tokenizer(), max_text_length=MAX_TEXT_LENGTH).save_pretrained(folder)
    return folder


def write_page_files(folder: Path, cells: anndata.AnnData) -> None:
    """Write the files that pages take as given. What one page writes and another reads is made here, too."""
    for name in _SAME_CELLS:
        _write(cells, folder / f"{name}.h5ad")
    corpus = cells.copy()  # as CELLxGENE writes files
    corpus.var["feature_name"], corpus.var_names = list(cells.var_names), gene_ids(cells)
    for name in ("a", "b"):
        _write(corpus, folder / "corpus" / f"{name}.h5ad")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of zarr, about its next version
        cells.write_zarr(folder / "cells.zarr")
    linear, logged = cells.copy(), cells.copy()
    for other in (linear, logged):
        del other.layers["counts"]
        sc.pp.normalize_total(other, target_sum=1e4)
    sc.pp.log1p(logged)
    _write(linear, folder / "tpm.h5ad")
    _write(logged, folder / "celltypist_input.h5ad")
    mouse = cells.copy()
    mouse.var_names = [name.capitalize() for name in mouse.var_names]
    _write(mouse, folder / "mouse.h5ad")
    pairs = [f"{name.capitalize()}\t{name}" for name in cells.var_names]
    (folder / "orthologs.tsv").write_text("\n".join(["Mouse gene name\tGene name", *pairs]) + "\n")
    (folder / "labels.tsv").write_text("\n".join(LABELS) + "\n")
    known = cells.obs["expert_label"].dropna().rename("my_label")
    known.to_csv(folder / "known.csv", index_label="Barcode")
    (folder / "hallmark.gmt").write_text(
        "".join(f"SET {i}\tmade\t" + "\t".join(cells.var_names[i * 20 : (i + 1) * 20]) + "\n" for i in range(6))
    )
    profiles = anndata.AnnData(
        np.stack(
            [np.asarray(cells.X[(cells.obs["cell_type"] == label).to_numpy()].mean(axis=0))[0] for label in LABELS]
        ),
        obs=pd.DataFrame({"cl_id": ids_of(LABELS), "tissue_clean": "blood", "profile_scale": "linear"}, index=LABELS),
        var=pd.DataFrame({"ensembl_id": gene_ids(cells), "in_langcell_vocab": True}, index=cells.var_names),
    )
    profiles.obs["uberon_id"], profiles.obs["study"] = "UBERON:0000178", "one"
    _write(profiles, folder / "cell_profiles.h5ad")
    _write_10x_h5(cells, folder / "filtered_feature_bc_matrix.h5")
    for name in ("sample_mtx", "from_r"):
        _write_10x(cells, folder / name)
    # As annotate leaves it; that the tiny model's names are right is not what these files are for.
    named = cells.copy()
    langcell.annotate(named, LABELS, model=folder / MODEL_PLACE, device="cpu", progress=False)
    for column in ("langcell_label", "langcell_label_alone"):
        named.obs[column] = pd.Categorical(named.obs["cell_type"].astype(str), categories=LABELS)
    _write(named, folder / "named.h5ad")


def _write(cells: anndata.AnnData, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cells.write_h5ad(path)


def ids_of(labels: Sequence[str]) -> list[str]:
    """Ontology ids of labels."""
    return [str(label.ontology_term_id) for label in resolve_labels(list(labels))]


def gene_ids(cells: anndata.AnnData) -> list[str]:
    """Invented ids of the genes of the sample, which has symbols alone."""
    return [f"ENSG{i:011d}" for i in range(1, cells.n_vars + 1)]


def copy_files(made: Path, to: Path) -> Path:
    """Copy the files for one page, which may change them; the model is read only, and linked."""
    shutil.copytree(made, to, ignore=shutil.ignore_patterns("langcell-mini"))
    (to / MODEL_PLACE).symlink_to(made / MODEL_PLACE)
    return to


def _write_10x_h5(cells: anndata.AnnData, path: Path) -> None:
    """A file as Cell Ranger writes it."""
    matrix = sparse.csc_matrix(sparse.csr_matrix(cells.X).T.astype(np.int32))
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        group["shape"] = np.array(matrix.shape)
        group["data"], group["indices"], group["indptr"] = matrix.data, matrix.indices, matrix.indptr
        group["barcodes"] = np.array(list(cells.obs_names), dtype="S")
        features = {
            "id": gene_ids(cells),
            "name": list(cells.var_names),
            "feature_type": ["Gene Expression"] * cells.n_vars,
            "genome": ["GRCh38"] * cells.n_vars,
        }
        for name, values in features.items():
            group[f"features/{name}"] = np.array(values, dtype="S")


def _write_10x(cells: anndata.AnnData, folder: Path) -> None:
    """A folder as Cell Ranger writes it."""
    folder.mkdir()
    with gzip.open(folder / "matrix.mtx.gz", "wb") as file:
        mmwrite(file, sparse.csr_matrix(cells.X).T.astype(np.int64))
    genes = "".join(f"{name}\t{name}\tGene Expression\n" for name in cells.var_names)
    (folder / "features.tsv.gz").write_bytes(gzip.compress(genes.encode()))
    (folder / "barcodes.tsv.gz").write_bytes(gzip.compress("\n".join(cells.obs_names).encode()))
