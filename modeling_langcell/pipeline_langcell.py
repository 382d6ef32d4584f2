"""The transformers pipeline of LangCell: cells named by text, or embedded, from an AnnData, a file or gene ids."""

import copy
import importlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers.pipelines.base import Pipeline

from .cell_blocks_langcell import is_plain as is_plain  # copied with this file by transformers before 5.12
from .configuration_langcell import CUSTOM_PIPELINES
from .encoders_langcell import TorchEncoders, check_reads_text, computing_device
from .reranking_langcell import rerank_top as rerank_top  # copied with this file by transformers before 5.12
from .scoring_langcell import EncodedLabels, check_alpha, reference_as_measured, score_cells
from .text_blocks_langcell import encode_texts

UNASSIGNED = "unassigned"  # what `langcell.annotate` calls a cell without any known gene
EMBEDDING_TASK = "feature-extraction"
TEMPLATE = "cell type: {}; "

_DEFAULT_BATCH_SIZE = 32
_ROWS_PER_CHUNK = 2000  # cells of a file that are in memory at once
_READING = ("x_is", "layer", "gene_column", "gene_names")
_SCORING = ("candidate_labels", "hypothesis_template", "alpha", "reference", "rerank")
_RESULTS = ("top_k", "return_embeddings", "return_tensors")


@dataclass(frozen=True)
class _Cells:
    """Some cells, ready to be batched.

    Attributes:
        names: obs names, or places in the list.
        token_lists: ranked gene ids of each cell, more than the encoder reads.
        known: bool, shape (cells,); whether the cell has a known gene.
        gene_index: places in the vocabulary of the genes that were measured, -1 where unknown.
    """

    names: list[str]
    token_lists: list[np.ndarray]
    known: np.ndarray
    gene_index: np.ndarray


class LangCellPipeline(Pipeline):
    """Names cells by candidate labels ("zero-shot-cell-annotation"), or embeds them ("feature-extraction").

    ```python
    from transformers import pipeline

    name_cells = pipeline("zero-shot-cell-annotation", model="org/langcell", trust_remote_code=True)
    name_cells(adata, candidate_labels=["B cell", "natural killer cell", "monocyte"], batch_size=64)
    # [{"cell": "AAACATACAACCAC-1", "labels": ["monocyte", ...], "scores": [0.81, ...]}, ...]
    ```

    `device`, `device_map`, `dtype` and `batch_size` are those of every pipeline; the batch size changes no more than
    the last digits of the results.
    """

    # A LangCellModel and its LangCellProcessor, from this package or from a folder's own code.
    model: Any
    processor: Any

    _load_processor = True
    _load_tokenizer = False
    _load_feature_extractor = False
    _load_image_processor = False
    _load_video_processor = False

    def __init__(self, model: Any, processor: Any = None, **kwargs: Any):
        check_reads_text(model)
        if processor is None:
            raise ValueError(
                "This pipeline needs the model's processor; give processor=AutoProcessor.from_pretrained(...)."
            )
        # `pipeline` has put classes into the configuration, which could not be saved with them.
        model.config.custom_pipelines = copy.deepcopy(CUSTOM_PIPELINES)
        placed = getattr(model, "hf_device_map", None)
        try:
            if placed:  # transformers takes the place of the first part, and knows no device "disk"
                model.hf_device_map = {"": computing_device(model)}
            super().__init__(model.eval(), processor=processor, **kwargs)
        finally:
            if placed:
                model.hf_device_map = placed

    def __call__(self, inputs: Any, *args: Any, **options: Any) -> Any:
        """Name or embed cells.

        Args:
            inputs: an AnnData (X and var_names are read), the path of an h5ad file (read in chunks), lists of gene ids
                (one list a cell), one such list, or a matrix (cells x genes) with `gene_names`.
            args: `candidate_labels`, as transformers' zero-shot pipelines take them.
            options: options of the call, or of `pipeline(...)` for every call:
                candidate_labels: names, or a mapping from name to the text that the text encoder reads. For the texts
                of `langcell.annotate` (definitions of the Cell Ontology) give a mapping:
                `{label.name: label.text for label in langcell.processing.labels.resolve.resolve_labels(names)}`.
                hypothesis_template: how a name without a text becomes one, "cell type: {}; " as in training.
                alpha: weight of the similarity in the score, 0 to 1; the model's own when not given.
                reference: compare the cells with the model's reference cells, too, where it has some (and is not
                    fine-tuned on other labels than types), as `langcell.annotate` does; True. Lists of gene ids count
                    as of a file with all genes.
                top_k: keep so many labels of each cell; all when not given.
                rerank: "exact" evaluates the match of as many labels as it takes to be certain of the `top_k` best and
                    of their order, as `langcell.annotate` does: many times less work with a hundred labels. The scores
                    of a cell that has labels left out are then the least that they can be. "full" evaluates the match
                    of all labels, and so does "exact" without `top_k`.
                batch_size: cells in a batch, 32.
                x_is: "counts", "linear" (TPM, counts per 10k) or "log1p".
                layer: layer with the values, or "raw"; X when not given.
                gene_column: column of var with Ensembl ids or symbols; var_names when not given.
                gene_names: names of a matrix's columns.
                return_embeddings: add "embedding" to each result; without labels, embeddings are the result.
                return_tensors: embeddings as one tensor (cells, projection_dim) instead of lists.

        Returns:
            For each cell {"cell": its name, "labels": by falling score, "scores": that sum to 1}; one such dict for a
            single list of ids. A cell without any known gene is "unassigned" with score 0. Embeddings have unit length:
            a list of floats a cell, or a tensor.

        Raises:
            ValueError: labels, cells or options that cannot be used.
        """
        if args:
            options.setdefault("candidate_labels", args[0])
        batch_size = options.pop("batch_size", None) or self._batch_size or _DEFAULT_BATCH_SIZE
        options.pop("num_workers", None)  # reading and ranking are too fast to be worth processes
        reading, scoring, results = (
            {**mine, **given}
            for mine, given in zip(
                (self._preprocess_params, self._forward_params, self._postprocess_params),
                self._sanitize_parameters(**options),
                strict=True,
            )
        )
        names, labels = self._encoded_labels(scoring, results)
        how = {"alpha": scoring.get("alpha"), "rerank": scoring.get("rerank", "exact")}
        how["top"] = results.get("top_k", len(names))
        is_single = isinstance(inputs, list | tuple) and all(np.ndim(gene_id) == 0 for gene_id in inputs)
        found, is_compared = [], False
        for cells in self.preprocess([inputs] if is_single else inputs, **reading):
            if labels is not None and not is_compared and scoring.get("reference", True):
                labels, is_compared = self._with_reference(labels, cells.gene_index, batch_size), True
            outputs = self._in_batches(cells, batch_size, labels, **how)
            found += self.postprocess({"cells": cells, **outputs}, names=names, **results)
        if labels is None and results.get("return_tensors"):
            return torch.stack(found) if found else torch.empty(0, self.model.config.projection_dim)
        return found[0] if is_single else found

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs: Any) -> None:
        """Write a Hub folder that the pipeline can be made from again."""
        self.model.save_pretrained(save_directory, **kwargs)
        self.processor.save_pretrained(save_directory)

    def _sanitize_parameters(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        known = (*_READING, *_SCORING, *_RESULTS)
        if unknown := [name for name in options if name not in known]:
            raise ValueError(f"Unknown option {unknown[0]!r} of this pipeline; legal are {', '.join(known)}.")
        reading, scoring, results = (
            {name: options[name] for name in names if options.get(name) is not None}
            for names in (_READING, _SCORING, _RESULTS)
        )
        check_alpha(scoring.get("alpha", 0))
        if scoring.get("rerank", "exact") not in ("exact", "full"):
            raise ValueError(f"rerank is {scoring['rerank']!r}; legal are 'exact' (an early stop) and 'full'.")
        if results.get("top_k", 1) < 1:
            raise ValueError(f"top_k is {results['top_k']}; keep at least one label.")
        return reading, scoring, results

    def preprocess(self, input_: Any, **reading: Any) -> Iterator[_Cells]:
        """Read and rank cells, a chunk at a time; see `__call__`."""
        if isinstance(input_, str | os.PathLike):
            yield from self._cells_of_file(os.fspath(input_), reading)
        elif isinstance(input_, list | tuple):
            extractor = self.processor.feature_extractor
            encoded = extractor(input_, max_length=self._longest)
            lengths = encoded["cell_attention_mask"].sum(axis=1)
            lists = [row[:length] for row, length in zip(encoded["cell_input_ids"], lengths, strict=True)]
            all_genes = np.arange(len(extractor.vocabulary))
            yield _Cells([str(i) for i in range(len(lists))], lists, np.ones(len(lists), dtype=bool), all_genes)
        elif hasattr(input_, "var_names") or "gene_names" in reading:
            yield self._ranked(input_, reading)
        else:
            raise ValueError(
                f"Cells came as {type(input_).__name__}; give an AnnData, the path of an h5ad file, lists of gene ids, "
                "or a matrix with gene_names."
            )

    def _forward(self, input_tensors: dict[str, Tensor], **parameters: Any) -> dict[str, Tensor]:
        """Embeddings and scores of one batch, float32; scores that were not needed are NaN."""
        cells = input_tensors["cell_input_ids"], input_tensors["cell_attention_mask"]
        labels = parameters.pop("labels")
        if labels is None:
            return {"embeddings": self._encoders.encode_cells(*cells, for_match=False).embeds}
        scores = score_cells(self._encoders, labels, *cells, input_tensors.get("reference_weights"), **parameters)
        return {"embeddings": scores.cell_embeds, "scores": scores.score}

    def postprocess(self, model_outputs: dict[str, Any], **parameters: Any) -> list[Any]:
        """Return one result for each cell."""
        cells, embeddings, names = model_outputs["cells"], model_outputs["embeddings"], parameters["names"]
        as_tensors = parameters.get("return_tensors", False)
        rows = list(embeddings) if as_tensors else embeddings.tolist()
        if not names:
            return rows
        if faults := int((model_outputs["scores"].isnan().all(-1).numpy() & cells.known).sum()):
            raise ValueError(f"The model gives {faults} cells NaN for all labels; try dtype=float32, or other weights.")
        scores, order = model_outputs["scores"].nan_to_num(-torch.inf).sort(descending=True, stable=True)
        kept = min(parameters.get("top_k", len(names)), len(names))
        results: list[dict[str, Any]] = []
        for i, name in enumerate(cells.names):
            if cells.known[i]:
                named = [names[j] for j in order[i, :kept].tolist()]
                results.append({"cell": name, "labels": named, "scores": scores[i, :kept].tolist()})
            else:
                results.append({"cell": name, "labels": [UNASSIGNED], "scores": [0.0]})
            if parameters.get("return_embeddings"):
                results[-1]["embedding"] = rows[i]
        return results

    @property
    def _encoders(self) -> TorchEncoders:
        return TorchEncoders(self.model)

    def _with_reference(self, labels: EncodedLabels, gene_index: np.ndarray, batch_size: int) -> EncodedLabels:
        """Return the labels, with what the model's reference cells say in the genes of the data."""
        config = self.model.config
        reference = reference_as_measured(self.processor, config, gene_index)
        if reference is None:
            return labels
        return labels.related_to(reference, self._known(batch_size), config.logit_temperature)

    def _known(self, batch_size: int) -> Tensor:
        """Return what the model knows of its reference cells: as stored, or found now where its weights are others."""
        extractor, none = self.processor.feature_extractor, np.empty(0, dtype=np.int64)
        reference = extractor.reference_cells
        if (stored := reference.known_by(self.model)) is not None:
            return torch.from_numpy(stored)
        longest = self.model.config.cell_config.max_position_embeddings
        lists = reference.in_all_genes(extractor.vocabulary, max_length=longest)
        whole = _Cells([""] * len(lists), lists, none, none)
        embeddings = self._in_batches(whole, batch_size, None, longest=longest)["embeddings"]
        texts = encode_texts(self._encoders, self.processor, reference.texts, for_match=False)
        return reference.known(embeddings, texts.embeds.to(embeddings.device))

    def _in_batches(
        self, cells: _Cells, batch_size: int, labels: EncodedLabels | None, *, longest: int | None = None, **how: Any
    ) -> dict[str, Tensor]:
        """Outputs of all cells in their order; those of like length are batched together."""
        lists = [ids[: longest or self.processor.feature_extractor.max_length] for ids in cells.token_lists]
        reference = None if labels is None else labels.reference
        weights = None if reference is None else reference.weights(cells.token_lists)
        order = np.argsort([len(ids) for ids in lists], kind="stable")
        parts: dict[str, list[Tensor]] = {"embeddings": []} if labels is None else {"embeddings": [], "scores": []}
        for begin in range(0, len(order), batch_size):
            rows = order[begin : begin + batch_size]
            arrays = self.processor.feature_extractor.pad([lists[i] for i in rows])
            arrays |= {} if weights is None else {"reference_weights": weights[rows]}
            tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
            outputs: Any = self.forward(tensors, labels=labels, **how)
            for name, values in outputs.items():
                parts[name].append(values)
        back = torch.from_numpy(np.argsort(order))
        return {name: torch.cat(blocks)[back] if blocks else torch.empty(0, 0) for name, blocks in parts.items()}

    @property
    def _longest(self) -> int:
        """Ids of a cell that are kept, for the encoder and for the comparison with reference cells."""
        extractor = self.processor.feature_extractor
        return max(extractor.max_length, getattr(extractor.reference_cells, "genes_read", 0))

    def _encoded_labels(
        self, scoring: Mapping[str, Any], results: Mapping[str, Any]
    ) -> tuple[list[str], EncodedLabels | None]:
        """Names of the candidate labels, and these encoded; nothing where embeddings alone are asked for."""
        given = scoring.get("candidate_labels")
        if given is None:
            if self.task == EMBEDDING_TASK or results.get("return_embeddings"):
                return [], None
            raise ValueError("Give candidate_labels=[...] to name cells, or return_embeddings=True to embed them.")
        texts = _texts_of(given, scoring.get("hypothesis_template", TEMPLATE))
        return list(texts), EncodedLabels(encode_texts(self._encoders, self.processor, list(texts.values())))

    def _cells_of_file(self, path: str, reading: Mapping[str, Any]) -> Iterator[_Cells]:
        if not path.endswith(".h5ad"):
            raise ValueError(f"{path} is no .h5ad file; read it with anndata and give the AnnData.")
        try:
            # Not at the top of the file, where transformers would ask it of everyone who loads the model.
            anndata = importlib.import_module("anndata")
        except ModuleNotFoundError as error:
            raise ValueError("Reading an h5ad file needs anndata; install it with: pip install anndata") from error
        adata = anndata.read_h5ad(path, backed="r")
        try:
            for begin in range(0, adata.n_obs, _ROWS_PER_CHUNK):
                yield self._ranked(adata[begin : begin + _ROWS_PER_CHUNK].to_memory(), reading)
        finally:
            adata.file.close()

    def _ranked(self, cells: Any, reading: Mapping[str, Any]) -> _Cells:
        """Cells of an AnnData in memory, or of a matrix."""
        matrix, genes = cells, reading.get("gene_names", ())
        names = range(cells.shape[0])
        if hasattr(cells, "var_names"):
            names = cells.obs_names
            matrix, var = _values_of(cells, reading.get("layer"))
            genes = var[_column_of(var, reading["gene_column"])] if "gene_column" in reading else var.index
        extractor, genes = self.processor.feature_extractor, [str(gene) for gene in genes]
        ranked = extractor.encode(matrix, genes, x_is=reading.get("x_is", "counts"), max_length=self._longest)
        known = ranked.n_known_genes > 0
        return _Cells([str(name) for name in names], list(ranked), known, extractor.gene_index(genes))


def _texts_of(labels: Any, template: str) -> dict[str, str]:
    """Name -> text of the candidate labels.

    Raises:
        ValueError: no usable list of at least two different names.
    """
    if isinstance(labels, str):
        # Names of cell types have commas: to split one string at them would be a guess.
        raise ValueError(f"candidate_labels is one string; give a list of names, such as [{labels!r}, ...].")
    if isinstance(labels, Mapping):
        texts = dict(labels)
    else:
        names = list(labels) if isinstance(labels, Sequence) else []
        texts = {str(name).strip(): template.format(str(name).strip().lower()) for name in names}
        if len(texts) < len(names):
            raise ValueError("candidate_labels has a name twice; keep one of each.")
    if len(texts) < 2 or not all(name and isinstance(text, str) and text.strip() for name, text in texts.items()):
        raise ValueError("candidate_labels needs at least two names, none of them empty: a list, or {name: text}.")
    return texts


def _values_of(adata: Any, layer: str | None) -> tuple[Any, Any]:
    """Return the matrix and the table of its genes.

    Raises:
        ValueError: there is no such layer.
    """
    if layer is None:
        return adata.X, adata.var
    if layer == "raw" and adata.raw is not None:
        return adata.raw.X, adata.raw.var
    if layer not in adata.layers:
        # anndata 0.13 has X among the layers, too, under the name None.
        there = [*(name for name in adata.layers if name), *(["raw"] if adata.raw is not None else [])]
        raise ValueError(f"There is no layer {layer!r}; there are {there}.")
    return adata.layers[layer], adata.var


def _column_of(var: Any, name: str) -> str:
    if name not in var.columns:
        raise ValueError(f"There is no column {name!r} in var; there are {list(var.columns)}.")
    return name
