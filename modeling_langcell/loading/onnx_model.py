"""A model that `langcell export onnx` wrote, run by onnxruntime: `langcell.OnnxLangCell`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import Tensor
from transformers import AutoProcessor

import langcell.loading.auto_classes  # noqa: F401  (AutoProcessor has to know the processor)
from langcell.configuration_langcell import LangCellConfig
from langcell.encoders_langcell import EncodedCells, EncodedTexts
from langcell.processing.genes import check_same_vocabulary
from langcell.processing.processing_langcell import LangCellProcessor
from langcell.scoring_langcell import EncodedLabels, score_cells
from langcell.text_blocks_langcell import encode_texts

EXPORT_FACTS = "onnx_export.json"
DTYPES = ("float32",)
_GRAPHS = ("cell_encoder", "text_encoder", "match")
# Text tokens of (cell, label) pairs held at once by the match.
_TOKENS_PER_MATCH = 65_536


@dataclass(frozen=True)
class OnnxTexts:
    """Encoded label texts, for any number of cells.

    Attributes:
        embeds: float32, (labels, projection_dim), unit length.
        states: what goes into the match, float32, (labels, tokens or 1, text hidden).
        attention_mask: int64, (labels, tokens).
    """

    embeds: np.ndarray
    states: np.ndarray
    attention_mask: np.ndarray

    def __len__(self) -> int:
        return len(self.embeds)


@dataclass(frozen=True)
class OnnxScores:
    """Scores of cells (rows) x labels (columns), float32; the attributes are those of `LabelScores`."""

    similarity: np.ndarray
    match: np.ndarray
    score: np.ndarray
    cell_embeds: np.ndarray


@dataclass(frozen=True)
class OnnxFacts:
    """What those who run models over cells ask of one: where it computes, in what, and how large it is."""

    config: LangCellConfig
    dtype: torch.dtype
    device: torch.device


class OnnxLangCell:
    """Both encoders and the match in onnxruntime; what is left to torch are sums over the labels.

    `langcell.annotate(adata, labels, model=OnnxLangCell(folder))` names the cells of an AnnData with it, and takes the
    folder as well; the methods here are for whoever has counts and texts at hand.

    Args:
        folder: what `langcell export onnx` wrote.
        dtype: "float32"; "auto" is the same.
        threads: threads of onnxruntime for one operator; one for each core when None.

    Attributes:
        config: the model's configuration.
        processor: its cells-and-text processor.
        model_id: the model that was exported.
        revision: revision of that model.

    Raises:
        ValueError: the folder is no complete export, a file is damaged, the dtype is not there, or onnxruntime is not.

    >>> model = langcell.OnnxLangCell("langcell-mini-onnx")  # doctest: +SKIP
    >>> model.score(adata[:8], ["cell type: b cell; ", "cell type: platelet; "]).score.shape  # doctest: +SKIP
    (8, 2)
    """

    def __init__(self, folder: str | Path, *, dtype: str = "float32", threads: int | None = None):
        require_onnx("onnxruntime")
        self.dtype = check_dtype(dtype)
        folder = Path(folder)
        _require_files(folder)
        try:
            facts = json.loads((folder / EXPORT_FACTS).read_text(encoding="utf-8"))
            self.config: LangCellConfig = LangCellConfig.from_pretrained(folder)
            self.processor: LangCellProcessor = AutoProcessor.from_pretrained(folder)
            self._sessions = {name: _session(folder / onnx_file(name), threads) for name in _GRAPHS}
        except Exception as error:  # damaged files raise a dozen types; the user needs to know which folder it is
            raise ValueError(f"{folder} cannot be loaded: {' '.join(str(error).split())[:300]}") from error
        self.model_id, self.revision = str(facts["model_id"]), str(facts["model_revision"])
        fingerprint = self.processor.feature_extractor.vocabulary.fingerprint
        check_same_vocabulary(
            str(self.config.vocabulary_fingerprint), fingerprint, f"the model {folder}", "its gene vocabulary"
        )

    @property
    def model(self) -> OnnxFacts:
        """Configuration, dtype and device, under the name that `LoadedLangCell` has for them."""
        return OnnxFacts(self.config, torch.float32, torch.device("cpu"))

    @property
    def encoders(self) -> "OnnxEncoders":
        """What scores are computed with."""
        return OnnxEncoders(self)

    def compute_in(self, dtype: torch.dtype) -> None:
        """Do nothing: the files are what they are."""

    def encode_cells(self, cell_input_ids: np.ndarray, cell_attention_mask: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return the ranked genes, int64 (cells, genes) -> embeddings (cells, projection_dim), states (cells, genes,
        hidden)."""
        inputs = {"cell_input_ids": cell_input_ids, "cell_attention_mask": cell_attention_mask}
        embeds, states = self._run("cell_encoder", inputs)
        return embeds, states

    def encode_texts(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> OnnxTexts:
        """Return tokens, int64 (labels, tokens), once for any number of cells."""
        embeds, states = self._run("text_encoder", {"input_ids": input_ids, "attention_mask": attention_mask})
        return OnnxTexts(embeds, states, attention_mask)

    def match(
        self, texts: OnnxTexts, cell_states: np.ndarray, cell_attention_mask: np.ndarray, label_index: np.ndarray
    ) -> np.ndarray:
        """Match probabilities of chosen labels of each cell.

        Args:
            texts: all labels.
            cell_states: (cells, genes, hidden).
            cell_attention_mask: (cells, genes).
            label_index: the labels that each cell is matched with, int64, (cells, chosen).

        Returns:
            float32, (cells, chosen).
        """
        shared = {"text_states": texts.states, "attention_mask": texts.attention_mask}
        cells_at_once = max(1, _TOKENS_PER_MATCH // max(1, label_index.shape[1] * texts.states.shape[1]))
        blocks = []
        for begin in range(0, len(cell_states), cells_at_once):
            rows = slice(begin, begin + cells_at_once)
            cells = {"cell_states": cell_states[rows], "cell_attention_mask": cell_attention_mask[rows]}
            blocks.append(self._run("match", {**shared, **cells, "label_index": label_index[rows]})[0])
        return np.concatenate(blocks)

    def score(
        self,
        cells: Any,
        texts: Sequence[str] | OnnxTexts,
        *,
        gene_names: Sequence[str] | None = None,
        x_is: str = "counts",
        alpha: float | None = None,
    ) -> OnnxScores:
        """Return the scores of every cell for every label text, in one batch.

        Args:
            cells: an AnnData, a csr or dense matrix with `gene_names`, or lists of token ids.
            texts: label texts, or what `encode_texts` returned.
            gene_names: names of the matrix's columns.
            x_is: "counts", "linear" or "log1p".
            alpha: weight of the similarity; the model's own when None.

        Raises:
            ValueError: the cells cannot be encoded, or alpha is outside 0 to 1.
        """
        if isinstance(texts, OnnxTexts):
            encoded = EncodedTexts(*map(torch.from_numpy, (texts.embeds, texts.attention_mask, texts.states)))
        else:
            encoded = encode_texts(self.encoders, self.processor, texts)
        batch = self.processor(cells=cells, gene_names=gene_names, x_is=x_is, return_tensors="pt")
        found = score_cells(self.encoders, EncodedLabels(encoded), **batch, alpha=alpha)
        return OnnxScores(*(part.numpy() for part in (found.similarity, found.match, found.score, found.cell_embeds)))

    def similarity(self, cell_embeds: np.ndarray, texts: OnnxTexts) -> np.ndarray:
        """Return cos / temperature, (cells, labels)."""
        return cell_embeds @ texts.embeds.T / np.float32(self.config.logit_temperature)

    def _run(self, graph: str, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        return self._sessions[graph].run(None, inputs)


class OnnxEncoders:
    """`Encoders` of an exported model."""

    def __init__(self, exported: OnnxLangCell):
        self.exported = exported

    @property
    def config(self) -> LangCellConfig:
        """See `Encoders.config`."""
        return self.exported.config

    @property
    def device(self) -> torch.device:
        """See `Encoders.device`."""
        return self.exported.model.device

    def encode_cells(
        self,
        cell_input_ids: Tensor,
        cell_attention_mask: Tensor,
        *,
        for_match: bool = True,
        n_texts: int | None = None,
    ) -> EncodedCells:
        """See `Encoders.encode_cells`; the match reads the states."""
        found = self.exported.encode_cells(cell_input_ids.numpy(), cell_attention_mask.numpy())
        embeds, states = map(torch.from_numpy, found)
        return EncodedCells(embeds, cell_attention_mask, (states,) if for_match else ())

    def encode_texts(self, input_ids: Tensor, attention_mask: Tensor, *, for_match: bool = True) -> EncodedTexts:
        """See `Encoders.encode_texts`."""
        found = self.exported.encode_texts(input_ids.numpy(), attention_mask.numpy())
        embeds, states = map(torch.from_numpy, (found.embeds, found.states))
        return EncodedTexts(embeds, attention_mask, states if for_match else None)

    def match(self, cells: EncodedCells, texts: EncodedTexts, columns: Tensor, longest: int) -> Tensor:
        """See `Encoders.match`."""
        # What no cell is matched with need not be handed over.
        chosen, places = columns.unique(return_inverse=True)
        parts = texts.embeds, texts.for_match[:, :longest], texts.attention_mask[:, :longest]
        own = OnnxTexts(*(part[chosen].numpy() for part in parts))
        (states,) = cells.for_match
        match = self.exported.match(own, states.numpy(), cells.attention_mask.numpy(), places.numpy())
        return torch.from_numpy(match)


def onnx_file(graph: str) -> str:
    """Name of a graph's file."""
    return f"{graph}.onnx"


def is_onnx_folder(place: Any) -> TypeGuard[str | Path]:
    """Return whether something is a folder that `langcell export onnx` wrote."""
    return isinstance(place, str | Path) and (Path(place) / EXPORT_FACTS).is_file()


def check_dtype(dtype: str) -> str:
    """Return the dtype of ONNX files that a name stands for.

    Raises:
        ValueError: there are none of that name.
    """
    if dtype != "auto" and dtype not in DTYPES:
        raise ValueError(f"dtype is {dtype!r}; an ONNX export has {', '.join(DTYPES)} (auto is float32).")
    return "float32" if dtype == "auto" else dtype


def require_onnx(*libraries: str) -> None:
    """Make sure of the libraries, of all that exporting needs when none is named.

    Raises:
        ValueError: one is not installed.
    """
    missing = [name for name in libraries or ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise ValueError(f'ONNX needs {", ".join(missing)}: pip install "langcell[onnx]".')


def _require_files(folder: Path) -> None:
    if not (folder / EXPORT_FACTS).is_file():
        raise ValueError(f"{folder} is no ONNX export; make one with langcell export onnx MODEL -o FOLDER.")
    missing = [name for name in map(onnx_file, _GRAPHS) if not (folder / name).is_file()]
    if missing:
        raise ValueError(f"{folder} lacks {', '.join(missing)}; export it again.")


def _session(path: Path, threads: int | None) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; warnings are about initializers that nobody here can change
    if threads is not None:
        options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
