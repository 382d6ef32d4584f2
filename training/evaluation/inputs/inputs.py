"""What an evaluation is about: data, model and labels as they were named, and hashes of their contents.

Nothing here needs torch: whether a result is kept is known before anything that takes seconds is imported.
"""

import copy
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from langcell.inference.running.options import ReadingOptions
from langcell.loading.adapter_base import base_of
from langcell.loading.options import BUNDLED_MODEL
from langcell.processing.options import from_keywords, takes
from langcell.training.evaluation.inputs.fingerprints import digest_of_data, digest_of_model
from langcell.training.evaluation.options import DrawOptions, EvaluatedModelOptions, OptionalLabelOptions

if TYPE_CHECKING:
    from langcell.inference.running.job import TorchModel


class EvaluationInputs:
    """Data, model and labels of an evaluation."""

    @takes(EvaluatedModelOptions, OptionalLabelOptions, DrawOptions, ReadingOptions)
    def __init__(self, data: str | Path, **options: Any) -> None:
        """Take the inputs as they were named; errors of data and model come at the first use.

        Args:
            data: h5ad file or zarr folder.
            {options}

        Raises:
            ValueError: an illegal option.
            TypeError: an option that does not exist.
        """
        model, labels, draws, reading = from_keywords(
            options,
            EvaluatedModelOptions,
            OptionalLabelOptions,
            DrawOptions,
            ReadingOptions,
            function=type(self).__name__,
        )
        self.data, self._named_model, self.adapter = Path(data), model.model, model.adapter
        self.device, self.dtype = model.device, model.dtype
        self.label_column, self.label_ids_column = labels.label_column, labels.label_ids_column
        self.labels_file = labels.labels_file
        self.max_cells, self.seed = draws.max_cells, draws.seed
        self.reading: dict[str, Any] = vars(reading).copy()

    def with_labels(
        self, *, label_column: str | None, label_ids_column: str | None, labels_file: str | Path | None
    ) -> Self:
        """Return the same cells and model with other labels; what is computed of the cells by now is shared."""
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
