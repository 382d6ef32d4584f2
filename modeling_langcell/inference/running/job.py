"""What `annotate` and `embed` have in common: data and model in, results out, by one process or several."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import pandas as pd
import torch
from transformers.utils import logging as transformers_logging

from langcell.inference.running.cell_run import FinishedRun, InferenceRun, run_in_memory, run_on_disk
from langcell.inference.running.options import ReadingOptions, WritingOptions
from langcell.inference.running.parts import ResultParts, file_fingerprint
from langcell.inference.running.processes import Processes
from langcell.inference.running.reading import Coverage
from langcell.loading.load import LoadedLangCell, as_dtype, choose_device, load
from langcell.loading.loaded import LoadedModel, LoadedScorer
from langcell.loading.onnx_model import OnnxLangCell, check_dtype, is_onnx_folder
from langcell.loading.options import AUTO_DTYPE, ModelOptions
from langcell.loading.precision import dtype_name
from langcell.processing.cells.anndata_io import CellSource
from langcell.processing.cells.anndata_output import check_writable, write_annotated
from langcell.processing.cells.annotation_values import check_output, refuse_same_file
from langcell.processing.cells.row_blocks import RowBlocks
from langcell.processing.containers.addresses import local_path

TorchModel = str | Path | LoadedLangCell
Model = TorchModel | OnnxLangCell


class Table(Protocol):
    """An AnnData in memory, as far as results are put into it."""

    obs: Any
    obsm: Any
    uns: Any


@dataclass(frozen=True)
class InferenceJob:
    """A data set, a model, and where the results go.

    Attributes:
        data: an AnnData, or the path of a container of cells that `open_cells` reads.
        output: h5ad or zarr file to write.
        model: folder, Hub id, "langcell-mini", or what `langcell.load` returned; an ONNX export, opened or not. When
            None the bundled weights, or the base that the adapter names.
        device: "cpu", "cuda", ...; the best one here when None.
        dtype: "auto", "float32", "bfloat16" or "float16"; of a loaded model "auto" is its own, and a copy computes in
            another. The same goes for `device`.
        options: how the cells are read and batched.
        processes: those that share the work.
        adapter: folder or Hub id of an adapter for a model that is loaded here.
        drop_unwritable: leave out of the output what no file can hold, such as columns that mix kinds of values.
    """

    data: Any
    output: str | Path | None = None
    model: Model | None = None
    device: str | None = None
    dtype: str = AUTO_DTYPE
    options: ReadingOptions = field(default_factory=ReadingOptions)
    processes: Processes = field(default_factory=Processes)
    adapter: str | Path | None = None
    drop_unwritable: bool = False

    @classmethod
    def of(
        cls,
        data: Any,
        output: str | Path | None,
        model: ModelOptions,
        reading: ReadingOptions,
        processes: Processes | None = None,
        writing: WritingOptions | None = None,
    ) -> Self:
        """Make the job from groups of options; the adapter is that of `AdaptedModelOptions`."""
        shared = Processes() if processes is None else processes
        adapter = getattr(model, "adapter", None)
        drop = writing is not None and writing.drop_unwritable
        return cls(data, output, model.model, model.device, model.dtype, reading, shared, adapter, drop)

    @property
    def in_memory(self) -> bool:
        """Whether the data are an object that gets the results."""
        return not isinstance(self.data, str | Path)

    def check(self) -> None:
        """Refuse what could not be computed or written, before hours of work rather than after.

        Raises:
            ValueError: no usable output, one that is the input or cannot hold what is in the data, data that are no
                container of cells, or no usable device, dtype or adapter.
            FileNotFoundError: the data, or the folder of the output, do not exist.
        """
        if self.output is not None:
            check_output(Path(self.output))
            # Of an AnnData in backed mode `filename` is the file that its values are read from.
            refuse_same_file(getattr(self.data, "filename", None) if self.in_memory else self.data, self.output)
            check_writable(self.data, self.output, drop_unwritable=self.drop_unwritable)
        elif not self.in_memory:
            raise ValueError(f"{self.data} is a file: say where the result goes (output=...), or pass an AnnData.")
        self.check_model()

    def check_model(self) -> None:
        """Refuse a model that does not go with the other options.

        Raises:
            ValueError: no usable device, dtype or adapter.
        """
        if isinstance(self.model, OnnxLangCell) or is_onnx_folder(self.model):
            self._check_onnx()
        elif isinstance(self.model, LoadedLangCell):
            if self.adapter is not None:
                raise ValueError("The model is loaded already; give the adapter to langcell.load.")
            as_dtype(self.dtype, choose_device(self.device or self.model.model.device))
        else:
            as_dtype(self.dtype, choose_device(self.processes.device(self.device)))

    def _check_onnx(self) -> None:
        if self.adapter is not None:
            raise ValueError("An ONNX export takes no adapter; give it to langcell export onnx.")
        if self.device not in (None, "cpu"):
            raise ValueError(f"device is {self.device!r}; an ONNX export is run on the cpu here.")
        if not isinstance(self.model, OnnxLangCell):
            check_dtype(self.dtype)
        elif self.dtype not in (AUTO_DTYPE, self.model.dtype):
            raise ValueError(
                f"dtype is {self.dtype!r}, but the ONNX export is opened in {self.model.dtype}; give its folder."
            )

    def load(self) -> tuple[LoadedScorer, torch.dtype]:
        """Return the model, and the dtype that it shall compute in.

        A model that is loaded here comes in float32: labels are encoded once, and their embeddings are worth it. Let it
        `compute_in` the dtype before the cells.
        """
        model = OnnxLangCell(self.model, dtype=self.dtype) if is_onnx_folder(self.model) else self.model
        if isinstance(model, OnnxLangCell):
            return model, torch.float32
        if isinstance(model, LoadedLangCell):
            dtype = model.model.dtype if self.dtype == AUTO_DTYPE else as_dtype(self.dtype)
            return model.with_options(dtype=self.dtype, device=self.device), dtype
        if not self.processes.is_main:
            transformers_logging.disable_progress_bar()
        loaded = load(model, adapter=self.adapter, device=self.processes.device(self.device), dtype="float32")
        return loaded, as_dtype(self.dtype, loaded.model.device)

    @contextmanager
    def finished(self, run: InferenceRun, arguments: Mapping[str, Any]) -> Iterator[FinishedRun | None]:
        """Yield the results of all cells; None in a process that has nothing left to do.

        Results of a file are on the disk until the block ends; a run that was killed goes on with them if it has the
        same `arguments`, to which data, model and reading are added here.
        """
        if self.in_memory:
            yield run_in_memory(run)
            return
        options = asdict(self.options)
        for name in ("max_batch_tokens", "progress"):  # which change no result, but for the last digits
            del options[name]
        facts = {
            **_computed_with(run),
            "device": run.loaded.model.device.type,
            "input": file_fingerprint(local_path(self.data)),
        }
        with run_on_disk(run, Path(str(self.output)), {**arguments, **facts, **options}, self.processes) as finished:
            yield finished

    def store(self, source: CellSource, obs: dict[str, Any], obsm: dict[str, Any], uns: dict[str, Any]) -> None:
        """Put the results into the AnnData, the output file, or both; closes the source.

        An AnnData has them also where the file cannot be written.
        """
        source.close()
        if self.in_memory:
            obsm = {name: _in_memory(value, source.obs_names) for name, value in obsm.items()}
        try:
            if self.output is not None:
                how = {"drop_unwritable": self.drop_unwritable}
                write_annotated(self.data, self.output, obs=obs, obsm=obsm, uns={"langcell": uns}, **how)
        finally:
            if self.in_memory:
                put_into(self.data, obs, obsm, uns)


def dtype_of(model: Any) -> str:
    """Return the dtype of functions whose default is float32: a model that is loaded already keeps its own."""
    return "float32" if model is None or isinstance(model, str | Path) else AUTO_DTYPE


def put_into(table: Table, obs: Mapping[str, Any], obsm: Mapping[str, Any], uns: dict[str, Any]) -> None:
    """Set the results on an AnnData."""
    for name, values in obs.items():
        table.obs[name] = values
    for name, values in obsm.items():
        table.obsm[name] = values
    table.uns["langcell"] = uns


def settings(run: InferenceRun, coverage: Coverage) -> dict[str, Any]:
    """Return what uns["langcell"] says on model and data."""
    return {
        **_computed_with(run),
        "values_from": run.source.location,
        "x_is": run.source.x_kind,
        "gene_coverage": coverage.genes,
        "count_coverage": coverage.counts,
        **({"reading_notes": notes} if (notes := run.notes()) else {}),
    }


def row_blocks(parts: ResultParts, name: str, n_cells: int) -> RowBlocks:
    """Return a column of the parts as a matrix that is read when it is written."""
    (first,) = next(parts.read(name))
    return RowBlocks(n_cells, first.shape[1], lambda: (block for (block,) in parts.read(name)))


def _computed_with(run: InferenceRun) -> dict[str, str]:
    versions = {"langcell_version": version("langcell"), "dtype": dtype_name(run.loaded.model.dtype)}
    return {**model_facts(run.loaded), **versions}


def model_facts(loaded: LoadedModel) -> dict[str, str]:
    """Return which model it is."""
    return {
        "model_id": loaded.model_id,
        "model_revision": loaded.revision,
        "vocabulary_fingerprint": loaded.processor.feature_extractor.vocabulary.fingerprint,
    }


def _in_memory(value: Any, obs_names: pd.Index) -> np.ndarray | pd.DataFrame:
    return value.to_memory(obs_names) if isinstance(value, RowBlocks) else value
