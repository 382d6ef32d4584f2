"""What the evaluation tasks share: a data set, a model, and everything that several tasks need, computed once."""

import platform
from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from anndata import AnnData
from scipy import sparse

from langcell.inference.annotation import ScoredCells, score_data
from langcell.inference.scoring.texts import embed_texts
from langcell.loading.load import LoadedLangCell, as_dtype, load
from langcell.loading.options import AUTO_DTYPE
from langcell.processing.genes import GeneVocabulary
from langcell.processing.labels.resolve import Label
from langcell.training.evaluation.inputs.cells_in_memory import (
    ORIGIN,
    CellEmbeddings,
    embed_cells,
    memory_reading,
    read_cells,
    source_options,
)
from langcell.training.evaluation.inputs.expression import log_normalize, principal_components
from langcell.training.evaluation.inputs.inputs import EvaluationInputs
from langcell.training.labelled.label_columns import check_label_column
from langcell.training.labelled.labelled_cells import LabelledCells, read_labelled_cells

MODEL_METHOD = "LangCell"
_LIBRARIES = ("langcell", "torch", "transformers", "peft", "anndata", "scanpy", "scikit-learn", "evaluate", "numpy")


class EvaluationContext(EvaluationInputs):
    """A data set and a model; every property is computed at its first use and kept.

    Args:
        data: h5ad file or zarr folder.
        options: the other arguments of `EvaluationInputs`.

    Raises:
        ValueError: see `EvaluationInputs`.
    """

    def __init__(self, data: str | Path, **options: Any) -> None:
        super().__init__(data, **options)
        self._scored: dict[tuple[bool | str, ...], ScoredCells] = {}

    @classmethod
    def of(cls, inputs: EvaluationInputs) -> "EvaluationContext":
        """Return the inputs, with what can be computed of it."""
        context = cls(inputs.data)
        context.__dict__.update(inputs.__dict__)
        return context

    @cached_property
    def loaded(self) -> LoadedLangCell:
        """Model and processor, with the adapter."""
        if isinstance(self.model, LoadedLangCell):
            asked = self.model.with_options(dtype=self.dtype, device=self.device)
            if self.dtype != AUTO_DTYPE:
                asked.compute_in(as_dtype(self.dtype))
            return asked
        adapter = {} if self.adapter is None else {"adapter": str(self.adapter)}
        return load(self.model, device=self.device, dtype=self.dtype, **adapter)

    @cached_property
    def cells(self) -> AnnData:
        """The cells in memory, as `read_cells` has them; read with `memory_reading`."""
        return read_cells(
            self.data, self.reading, vocabulary=self._vocabulary, max_cells=self.max_cells, seed=self.seed
        )

    @property
    def _vocabulary(self) -> GeneVocabulary:
        return self.loaded.processor.feature_extractor.vocabulary

    @property
    def memory_reading(self) -> dict[str, Any]:
        """Reading options for `cells`."""
        return memory_reading(self.cells, self.reading)

    @property
    def source(self) -> tuple[Path | AnnData, dict[str, Any]]:
        """What to read the cells from, and how: the file in chunks, or the cells in memory where they are there."""
        if self.max_cells is None and "cells" not in self.__dict__:
            return self.data, self.reading
        return self.cells, self.memory_reading

    @cached_property
    def labelled(self) -> LabelledCells:
        """The true types and the candidate labels."""
        return self.read_labels()

    def read_labels(self, **changes: Any) -> LabelledCells:
        """Return the true types as `read_labelled_cells` reads them; `changes` replaces its options.

        Raises:
            ValueError: no label column was named, or see `check_label_column` and `read_labelled_cells`.
        """
        if self.label_column is None:
            raise ValueError("The task needs the column of obs with the types; name it (--label-column).")
        # All cells of the file count here, however few are drawn. A file of labels has candidates of its own.
        least = 2 if self.labels_file is None else 1
        check_label_column(self.data, self.label_column, least_types=least, **source_options(self.reading))
        source, reading = self.source
        options = {
            "label_column": self.label_column,
            "label_ids_column": self.label_ids_column,
            "labels_file": self.labels_file,
        }
        return read_labelled_cells(source, **(options | changes), **source_options(reading))

    @cached_property
    def embeddings(self) -> CellEmbeddings:
        """Embeddings of all cells by the model as it is."""
        return self.embed_with(self.loaded)

    def embed_with(self, loaded: LoadedLangCell) -> CellEmbeddings:
        """Return the embeddings of all cells by another model."""
        return embed_cells(self.cells, loaded, self.reading)

    def embed_rows(self, rows: np.ndarray) -> np.ndarray:
        """Return cell embeddings of some rows, ascending, shape (rows, projection_dim); of a file no other cells are
        kept."""
        if "cells" in self.__dict__ or self.max_cells is not None:
            return self.embeddings.projected[rows]
        cells = read_cells(self.data, self.reading, vocabulary=self._vocabulary, rows=rows)
        return embed_cells(cells, self.loaded, self.reading).projected

    def scored(self, labels: Sequence[Label], *, match: bool = True, hierarchy: str = "auto") -> ScoredCells:
        """Return the similarity and match of all cells for these labels; kept for the next task that asks the same.

        Args:
            labels: the candidates.
            match: whether the match is needed, which takes most of the time; NaN where it was not computed yet.
            hierarchy: how labels of which one lies above another are named, as in `score_data`.
        """
        key = (*(label.text for label in labels), hierarchy)
        for kept in ((*key, True), *([] if match else [(*key, False)])):
            if kept in self._scored:
                return self._scored[kept]
        source, reading = self.source
        how = {"loaded": self.loaded, "match": match, "types": True, "hierarchy": hierarchy}
        found = self._scored[*key, match] = score_data(source, labels, **how, **reading)
        return found

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Return the text embeddings, unit length, float32, shape (texts, projection_dim)."""
        return embed_texts(texts, model=self.loaded)

    @cached_property
    def log_counts(self) -> sparse.csr_matrix:
        """log1p of counts per 10,000, shape (cells, genes)."""
        return log_normalize(sparse.csr_matrix(self.cells.X))

    @cached_property
    def components(self) -> np.ndarray:
        """Principal components of the log-normalized counts, shape (cells, at most 50)."""
        return principal_components(self.log_counts, seed=self.seed)

    def describe(self, task: str, settings: dict[str, Any], labelled: LabelledCells | None = None) -> dict[str, Any]:
        """Return the facts that every report starts with: task, model, data, labels, seed, versions.

        Args:
            task: name of the task.
            settings: uns["langcell"] of `embed` or `annotate`, or `ScoredCells.settings`.
            labelled: the truth, where the task has one.
        """
        names = {"id": "model_id", "revision": "model_revision", "vocabulary_fingerprint": "vocabulary_fingerprint"}
        facts = {
            "task": task,
            "model": {
                **{name: settings[key] for name, key in names.items()},
                "digest": self.model_digest,
                "device": str(self.loaded.model.device),
                "dtype": str(self.loaded.model.dtype).removeprefix("torch."),
            },
            "data": {
                "file": self.data.name,
                "sha256": self.data_digest,
                "max_cells": self.max_cells,
                **{key: settings[key] for key in ("x_is", "values_from", "gene_coverage", "count_coverage")},
            },
            "seed": self.seed,
            "versions": {"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}},
        }
        if self.adapter is not None:
            facts["model"]["adapter"] = Path(str(self.adapter)).name
        if "cells" in self.__dict__:  # the cells in memory stand for the file
            facts["data"] |= self.cells.uns[ORIGIN]
        if labelled is not None:
            n_labelled = int(labelled.has_label.sum())
            facts["data"] |= {
                "label_column": self.label_column,
                "label_ids_column": self.label_ids_column,
                "labels_file": None if self.labels_file is None else Path(self.labels_file).name,
                "unread_ids_column": labelled.unread_ids_column,
                "names_searched_in": labelled.searched,
                "cells": len(labelled.truth),
                "labelled_cells": n_labelled,
                "left_out_without_label": len(labelled.truth) - n_labelled,
            }
            facts["labels"] = labelled.facts()
        return facts
