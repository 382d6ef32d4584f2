"""What an evaluation is about: data, model and labels as they were named, and hashes of their contents.

Nothing here needs torch: whether a result is kept is known before anything that takes seconds is imported.
"""

import copy
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from langcell.loading.adapter_base import base_of
from langcell.loading.hub_folders import BUNDLED_MODEL
from langcell.training.evaluation.inputs.fingerprints import digest_of_data, digest_of_model

if TYPE_CHECKING:
    from langcell.inference.running.job import TorchModel


class Subject:
    """Data and model of an evaluation.

    Args:
        data: h5ad file or zarr folder.
        model: folder, Hub id, "langcell-mini", or what `langcell.load` returned; when None "langcell-mini", or the base
            that the adapter names.
        adapter: folder or Hub id of an adapter for the model.
        label_column: column of obs with the types.
        label_ids_column: column of obs with the ontology id of each type, which gives the texts.
        labels_file: labels with texts; has to name every type in the column.
        max_cells: evaluate on this many cells at most, drawn with `seed`; all when None.
        seed: of every draw.
        device: "cpu", "cuda", ...; the best one here when None.
        dtype: "float32", "bfloat16" or "float16".
        progress: show progress bars.
        reading: fields of `ReadingOptions`: x_is, gene_column, layer, rows_per_chunk, max_batch_tokens.

    Raises:
        ValueError: illegal `max_cells`. What is wrong with data or model is told at the first use.
    """

    def __init__(
        self,
        data: str | Path,
        *,
        model: "TorchModel | None" = None,
        adapter: str | Path | None = None,
        label_column: str | None = None,
        label_ids_column: str | None = None,
        labels_file: str | Path | None = None,
        max_cells: int | None = None,
        seed: int = 0,
        device: str | None = None,
        dtype: str = "float32",
        progress: bool = True,
        **reading: Any,
    ) -> None:
        if max_cells is not None and max_cells < 2:
            raise ValueError(f"max_cells is {max_cells}; give at least 2, or leave it out for all cells.")
        self.data, self._named_model, self.adapter = Path(data), model, adapter
        self.label_column, self.label_ids_column, self.labels_file = label_column, label_ids_column, labels_file
        self.max_cells, self.seed, self.device, self.dtype = max_cells, seed, device, dtype
        self.reading = {"progress": progress, **reading}

    def with_labels(
        self, *, label_column: str | None, label_ids_column: str | None, labels_file: str | Path | None
    ) -> Self:
        """The same cells and model with other labels; what is computed of the cells by now is shared."""
        other = copy.copy(self)
        other.label_column, other.label_ids_column, other.labels_file = label_column, label_ids_column, labels_file
        other.__dict__.pop("labelled", None)
        return other

    @cached_property
    def model(self) -> "TorchModel":
        """The model; where none was named, the base that the adapter names, else the bundled one.

        Raises:
            ValueError: there is no such adapter, or its base was a folder, which has to be named.
        """
        if self._named_model is not None:
            return self._named_model
        return BUNDLED_MODEL if self.adapter is None else base_of(self.adapter)

    @cached_property
    def data_digest(self) -> str:
        """sha256 of the data.

        Raises:
            FileNotFoundError: there is no such file.
        """
        digest = digest_of_data(self.data)
        if digest is None:
            raise FileNotFoundError(f"{self.data}: no such file; give an h5ad file or a zarr folder.")
        return digest

    @cached_property
    def model_digest(self) -> str:
        """Identity of model and adapter, by their contents; see `digest_of_model`.

        Raises:
            ValueError: the model is no model.
        """
        return digest_of_model(self.model, adapter=self.adapter)
