"""LangCellFeatureExtractor: counts of cells -> padded lists of ranked gene ids."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from transformers.feature_extraction_utils import BatchFeature, FeatureExtractionMixin
from transformers.utils.hub import cached_file, logging

from .genes import VOCABULARY_FILE, GeneVocabulary
from .rank_values import RankedCells, keep_first_of_duplicates, rank_encode
from .reference_cells import REFERENCE_FILE, ReferenceCells

logger = logging.get_logger(__name__)

LABELS = ("labels", "label", "label_ids")  # what transformers' own collators take for labels
IGNORED_LABEL = -100  # as everywhere in torch and transformers

_PADDING = (True, "longest", "max_length")
_NO_PADDING = (False, "do_not_pad")
_HUB_ARGUMENTS = ("cache_dir", "force_download", "local_files_only", "token", "revision", "subfolder")


class LangCellFeatureExtractor(FeatureExtractionMixin):
    """Turns cells into `cell_input_ids` and `cell_attention_mask`.

    The gene vocabulary lives in its own file (`gene_vocabulary.tsv`) beside the configuration, so that people can
    read it and its fingerprint guards every load.

    Args:
        vocabulary: the genes; from_pretrained reads it from the folder or the Hub.
        max_length: longest list of ids of a cell, `<cls>` included.
        vocabulary_fingerprint: what the vocabulary's fingerprint has to be; taken from the vocabulary when None.
        duplicates: where several columns are one gene, "sum" adds their counts up; "first" reads the first alone, as
            the released LangCell did.
        unread_genes: ids of genes of the vocabulary that are left out of every cell, such as mitochondrial genes where
            no cell of the training had them; lists of token ids are taken as they are.
        reference_cells: what cells are compared with when they are named; a file of its own (`reference_cells.npz`) as
            well. Without them similarities are what the encoder makes of a cell.
    """

    model_input_names = ["cell_input_ids", "cell_attention_mask"]  # noqa: RUF012 (transformers' own idiom)

    def __init__(
        self,
        vocabulary: GeneVocabulary | None = None,
        max_length: int = 2048,
        vocabulary_fingerprint: str | None = None,
        duplicates: str = "sum",
        reference_cells: ReferenceCells | None = None,
        unread_genes: Sequence[str] = (),
        **kwargs: Any,
    ):
        if duplicates not in ("sum", "first"):
            raise ValueError(f"duplicates is {duplicates!r}; legal are 'sum' and 'first'.")
        super().__init__(**kwargs)
        if vocabulary is None:
            raise ValueError(
                f"LangCellFeatureExtractor needs a gene vocabulary; load it with from_pretrained (which reads "
                f"{VOCABULARY_FILE}) or pass vocabulary=GeneVocabulary.load(path)."
            )
        if vocabulary_fingerprint not in (None, vocabulary.fingerprint):
            raise ValueError(
                f"{VOCABULARY_FILE} has fingerprint {vocabulary.fingerprint[:12]}, the processor was saved with "
                f"{str(vocabulary_fingerprint)[:12]}; download the folder again, its files do not belong together."
            )
        self.vocabulary = vocabulary
        self.vocabulary_fingerprint = vocabulary.fingerprint
        self.max_length = max_length
        self.duplicates = duplicates
        self.unread_genes = list(unread_genes)
        self.reference_cells = reference_cells

    def __call__(
        self,
        cells: Any,
        gene_names: Sequence[str] | None = None,
        x_is: str = "counts",
        max_length: int | None = None,
        return_tensors: str | None = None,
        padding: bool | str = True,
    ) -> BatchFeature:
        """Encode cells and pad them to the longest.

        Args:
            cells: an AnnData (X and var_names are read), a csr or dense matrix (cells x genes), or lists of token ids.
            gene_names: names of the matrix's columns (Ensembl ids with or without version, or symbols); for an AnnData
                they replace var_names.
            x_is: "counts", or "linear" (TPM, counts per 10k), "log1p" or "log2p" (log2 of 1 + x): ranks within a cell
                do not need counts.
            max_length: longest list, `<cls>` included; the extractor's own when None.
            return_tensors: "pt", "np" or None.
            padding: as in `pad`; with False cells keep their lengths, to be padded batch by batch.

        Returns:
            `cell_input_ids` and `cell_attention_mask`, int64, shape (cells, longest).

        Raises:
            ValueError: no known gene, values that are not what `x_is` says, or names that do not fit the matrix.
        """
        if gene_names is None and _is_token_lists(cells):
            longest = self.max_length if max_length is None else max_length
            token_lists = [ids[:longest] for ids in map(self._checked_ids, cells)]
        else:
            ranked = self.encode(cells, gene_names, x_is=x_is, max_length=max_length)
            if unknown := int((ranked.n_known_genes == 0).sum()):
                logger.warning(f"{unknown} of {len(ranked)} cells have no known gene: only `<cls>` stands for them.")
            token_lists = list(ranked)
        return self.pad({"cell_input_ids": token_lists}, padding, max_length, return_tensors=return_tensors)

    def encode(
        self,
        cells: Any,
        gene_names: Sequence[str] | None = None,
        *,
        x_is: str = "counts",
        max_length: int | None = None,
    ) -> RankedCells:
        """Rank the genes of each cell; see `__call__` for the arguments and errors."""
        if hasattr(cells, "var_names"):
            if getattr(cells, "isbacked", False):
                cells = cells.to_memory()
            gene_names = list(cells.var_names) if gene_names is None else gene_names
            cells = cells.X
        if gene_names is None:
            raise ValueError("A matrix of cells needs gene_names, the names of its columns (or pass an AnnData).")
        counts = _CsrArrays(cells, x_is)
        if len(gene_names) != counts.n_genes:
            raise ValueError(f"gene_names has {len(gene_names)} names, the matrix has {counts.n_genes} columns.")
        max_length = self.max_length if max_length is None else max_length
        return rank_encode(counts, self.gene_index(gene_names), self.vocabulary, max_length=max_length)

    def gene_index(self, gene_names: Sequence[str], *, other_columns: Sequence[str] = ()) -> np.ndarray:
        """Place of each column in the vocabulary, -1 where it is not read; see `GeneVocabulary.require_known`."""
        return self.as_read(self.vocabulary.require_known(gene_names, other_columns=other_columns))

    def as_read(self, gene_index: np.ndarray) -> np.ndarray:
        """Return the places of columns in the vocabulary, (columns,), with -1 for those that this extractor does not
        read."""
        if self.unread_genes:
            unread = self.vocabulary.match(self.unread_genes, synonyms=False)
            gene_index = np.where(np.isin(gene_index, unread[unread >= 0]), -1, gene_index)
        return keep_first_of_duplicates(gene_index) if self.duplicates == "first" else gene_index

    def _checked_ids(self, ids: Any) -> np.ndarray:
        """One cell's token ids as an array.

        Raises:
            ValueError: there are none, or some are not of this vocabulary.
        """
        ids = np.asarray(ids)
        if not ids.size or not np.issubdtype(ids.dtype, np.integer):
            raise ValueError("Lists of token ids hold at least one whole number each; for counts pass gene_names too.")
        if ids.min() < 0 or ids.max() >= self.vocabulary.n_tokens:
            raise ValueError(f"Token ids go from 0 to {self.vocabulary.n_tokens - 1}; got {ids.min()} to {ids.max()}.")
        return ids

    def pad(
        self,
        cells: Sequence[Any] | Mapping[str, Sequence[Any]],
        padding: bool | str = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        return_tensors: str | None = None,
    ) -> BatchFeature:
        """Pad cells to one length, as a tokenizer pads texts; `DataCollatorWithPadding` calls it.

        Args:
            cells: lists of token ids; or a dict for each cell, or one dict of lists, with `cell_input_ids`, where there
                is one `cell_attention_mask`, and what else belongs to a cell, such as `labels`. Labels of genes (whole
                numbers, as many for each cell as it has ids) are padded with -100, which no loss counts.
            padding: True or "longest", "max_length", or False or "do_not_pad".
            max_length: what "max_length" pads to; the extractor's own when None. Nothing is cut.
            pad_to_multiple_of: round the length up to a multiple of it.
            return_tensors: "pt", "np" or None.

        Returns:
            `cell_input_ids` and `cell_attention_mask`, int64, shape (cells, length), and the rest as it came.

        Raises:
            ValueError: padding is unknown, a cell is longer than it is to be padded to, there are no rows, or not all
                have the same names.
        """
        padding = getattr(padding, "value", padding)  # of transformers' PaddingStrategy
        if padding not in (*_PADDING, *_NO_PADDING):
            raise ValueError(f"padding is {padding!r}; legal are True, 'longest', 'max_length', False, 'do_not_pad'.")
        columns = self._columns(cells)
        lists = [np.asarray(ids, dtype=np.int64) for ids in columns["cell_input_ids"]]
        # What was padded before is no gene, with a mask or without.
        given = columns.get("cell_attention_mask", [ids != self.vocabulary.pad_token_id for ids in lists])
        masks = [np.asarray(mask, dtype=np.int64) for mask in given]
        longest = length = max(map(len, lists), default=0)
        if padding == "max_length":
            length = self.max_length if max_length is None else max_length
            if longest > length:
                raise ValueError(
                    f"A cell has {longest} ids and is to be padded to {length}; cut it when it is encoded."
                )
        if pad_to_multiple_of:
            length = -(-length // pad_to_multiple_of) * pad_to_multiple_of
        padded: dict[str, Any] = {"cell_input_ids": lists, "cell_attention_mask": masks}
        if padding not in _NO_PADDING:
            padded["cell_input_ids"] = _rectangle(lists, length, self.vocabulary.pad_token_id)
            padded["cell_attention_mask"] = _rectangle(masks, length, 0)
            for name in (name for name in LABELS if name in columns and are_of_genes(columns[name], lists)):
                padded[name] = _rectangle(columns[name], length, IGNORED_LABEL)
        return BatchFeature({**columns, **padded}, tensor_type=return_tensors)

    @staticmethod
    def columns_of(rows: Sequence[Mapping[str, Any]], names: Sequence[str] | None = None) -> dict[str, list[Any]]:
        """Return rows as columns, a list with one value per row for each name.

        Args:
            rows: one or more.
            names: those that are wanted, where a row has them; all when None.

        Raises:
            ValueError: there are no rows, one has no names, or it lacks what another has.
        """
        if not len(rows):
            raise ValueError("There are no rows to pad; give at least one.")
        if wrong := [row for row in rows if not isinstance(row, Mapping)]:
            raise ValueError(f"A row to pad is {type(wrong[0]).__name__}; give a dict for each, with cell_input_ids.")
        found = [name for name in dict.fromkeys(key for row in rows for key in row) if names is None or name in names]
        for number, row in enumerate(rows, 1):
            if lacking := [name for name in found if name not in row]:
                raise ValueError(f"Row {number} of {len(rows)} has no {lacking[0]!r}; give it to all rows or to none.")
        return {name: [row[name] for row in rows] for name in found}

    def _columns(self, cells: Sequence[Any] | Mapping[str, Sequence[Any]]) -> dict[str, Any]:
        """Return what belongs to cells, a list per name; from lists of ids, one dict for each cell, or such columns.

        Raises:
            ValueError: there are no token ids, or see `columns_of`.
        """
        if isinstance(cells, Mapping):
            columns = dict(cells)
        elif len(cells) and not isinstance(cells[0], Mapping):
            columns = {"cell_input_ids": cells}
        else:
            columns = self.columns_of(cells)
        if "cell_input_ids" not in columns:
            raise ValueError(
                f"Cells to pad need cell_input_ids; there are {', '.join(map(repr, columns)) or 'no names'}."
            )
        return columns

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration without the vocabulary and the reference cells, which have their own files."""
        output = {k: v for k, v in self.__dict__.items() if k not in ("vocabulary", "reference_cells")}
        # What is there has to be read, rather than missed in silence; where there is none nothing is said.
        number = {"reference_cells": len(self.reference_cells)} if self.reference_cells is not None else {}
        if not output["unread_genes"]:
            del output["unread_genes"]
        return {**output, **number, "feature_extractor_type": self.__class__.__name__}

    def save_pretrained(self, save_directory: str | os.PathLike, push_to_hub: bool = False, **kwargs: Any) -> list[str]:
        """Write the configuration, the gene vocabulary and the reference cells."""
        os.makedirs(save_directory, exist_ok=True)
        self.vocabulary.save(os.path.join(save_directory, VOCABULARY_FILE))
        if self.reference_cells is not None:
            self.reference_cells.save(os.path.join(save_directory, REFERENCE_FILE))
        saved = super().save_pretrained(save_directory, **kwargs)
        if push_to_hub:
            self.push_to_hub(kwargs.pop("repo_id", os.path.basename(os.fspath(save_directory))), **kwargs)
        return saved

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs: Any):
        """Load the configuration, the gene vocabulary and the reference cells from a folder or the Hub."""
        hub_arguments = {name: kwargs[name] for name in _HUB_ARGUMENTS if kwargs.get(name) is not None}
        place = os.fspath(pretrained_model_name_or_path)
        vocabulary = GeneVocabulary.load(str(cached_file(place, VOCABULARY_FILE, **hub_arguments)))
        settings, kwargs = cls.get_feature_extractor_dict(pretrained_model_name_or_path, **kwargs)
        settings.pop("feature_extractor_type", None)
        settings["vocabulary"] = vocabulary
        if settings.pop("reference_cells", None):
            path = cached_file(place, REFERENCE_FILE, **hub_arguments)
            settings["reference_cells"] = ReferenceCells.load(str(path), vocabulary)
        return cls.from_dict(settings, **kwargs)


class _CsrArrays:
    """The three arrays of a csr matrix with checked values, without needing scipy.

    Raises:
        ValueError: NaN or negative values, or values that are not what `x_is` says.
    """

    def __init__(self, matrix: Any, x_is: str):
        if x_is not in ("counts", "linear", "log1p", "log2p"):
            raise ValueError(
                f"x_is is {x_is!r}; legal are 'counts', 'linear' (TPM, counts per 10k), 'log1p' and 'log2p' (base 2)."
            )
        if hasattr(matrix, "tocsr"):
            matrix = matrix.tocsr()
            self.indptr, self.indices, self.data = matrix.indptr, matrix.indices, matrix.data
            self.n_genes = matrix.shape[1]
            self.has_canonical_format = matrix.has_canonical_format
        else:
            dense = np.atleast_2d(np.asarray(matrix))
            rows, self.indices = np.nonzero(dense)
            self.data = dense[rows, self.indices]
            self.indptr = np.searchsorted(rows, np.arange(len(dense) + 1))
            self.n_genes = dense.shape[1]
            self.has_canonical_format = True
        if self.data.size and not (self.data.min() >= 0 and self.data.max() < np.inf):  # also true for NaN
            raise ValueError(
                "The matrix has negative, NaN or infinite values; give raw counts (or x_is='linear' / 'log1p')."
            )
        if x_is == "counts" and not np.array_equal(self.data, np.rint(self.data)):
            raise ValueError(
                f"The matrix holds values such as {self.data[self.data != np.rint(self.data)][0]:.4g}, not raw counts; "
                "give raw counts (often in layers['counts'] or raw) or say x_is='linear' or x_is='log1p'."
            )
        if x_is in ("log1p", "log2p"):
            self.data = np.expm1(self.data if x_is == "log1p" else self.data * np.log(2.0))


def are_of_genes(labels: Sequence[Any], cells: Sequence[Any]) -> bool:
    """Return whether each cell has a label, a whole number, for each of its ids: those of hidden genes."""
    if not len(cells) or len(labels) != len(cells):
        return False
    pairs = [(np.asarray(label), len(ids)) for label, ids in zip(labels, cells, strict=True)]
    return all(label.shape == (n_ids,) and np.issubdtype(label.dtype, np.integer) for label, n_ids in pairs)


def _rectangle(rows: Sequence[np.ndarray], length: int, fill: int) -> np.ndarray:
    """Rows of different lengths as one matrix, int64, shape (rows, length)."""
    matrix = np.full((len(rows), length), fill, dtype=np.int64)
    for i, row in enumerate(rows):
        matrix[i, : len(row)] = row
    return matrix


def _is_token_lists(cells: Any) -> bool:
    """Lists of token ids, as opposed to a matrix."""
    return isinstance(cells, (list, tuple)) and all(np.ndim(cell) == 1 for cell in cells)


LangCellFeatureExtractor.register_for_auto_class()
