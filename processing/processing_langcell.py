"""LangCellProcessor: cells and texts to the inputs of LangCellModel."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from transformers.data.data_collator import pad_without_fast_tokenizer_warning
from transformers.feature_extraction_utils import BatchFeature
from transformers.processing_utils import ProcessingKwargs, ProcessorMixin, TextKwargs

# What a tokenizer pads.
_OF_TEXTS = ("input_ids", "attention_mask", "token_type_ids", "special_tokens_mask")


class LangCellProcessorKwargs(ProcessingKwargs, total=False):
    """Options of `LangCellProcessor`: those of the tokenizer, flat or as `text_kwargs`."""

    _defaults = {  # noqa: RUF012  # pyright: ignore[reportGeneralTypeIssues]  # transformers' own idiom
        "text_kwargs": {"padding": True, "truncation": True, "return_token_type_ids": False},
    }


class LangCellProcessor(ProcessorMixin):
    """A feature extractor for cells and a tokenizer for texts in one object.

    Args:
        feature_extractor: `LangCellFeatureExtractor`.
        tokenizer: any BERT tokenizer.
        max_text_length: longest text in tokens; longer ones are cut (LangCell reads at most 512).
    """

    valid_processor_kwargs = LangCellProcessorKwargs

    def __init__(self, feature_extractor: Any, tokenizer: Any, max_text_length: int = 512):
        super().__init__(feature_extractor, tokenizer)
        self.max_text_length = max_text_length

    def __call__(
        self,
        cells: Any = None,
        text: str | Sequence[str] | None = None,
        gene_names: Sequence[str] | None = None,
        x_is: str | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """Encode cells, texts, or both; each modality is padded to its longest.

        Args:
            cells: an AnnData, a csr or dense matrix with `gene_names`, or lists of token ids.
            text: one text or several.
            gene_names: names of the matrix's columns.
            x_is: "counts" (when None), "linear" or "log1p".
            kwargs: `return_tensors`: "pt", "np" or None; and for texts alone the tokenizer's options, such as
                `padding` (True), `truncation` (True) and `max_length` (`max_text_length`), or `text_kwargs` with them.
                How many genes of a cell are read is the feature extractor's `max_length`.

        Returns:
            `cell_input_ids`, `cell_attention_mask` (cells x genes) and `input_ids`, `attention_mask` (texts x tokens).

        Raises:
            ValueError: neither cells nor text is given, the cells cannot be encoded, or an option of texts comes twice,
                without texts, or is illegal.
            TypeError: an option is unknown.
        """
        if cells is None and text is None:
            raise ValueError("LangCellProcessor got neither cells nor text; give at least one of them.")
        options = self._text_options(kwargs, has_text=text is not None)
        encoded = BatchFeature({})
        if cells is not None:
            how = {"x_is": x_is or "counts", "return_tensors": options.get("return_tensors")}
            encoded.update(self.feature_extractor(cells, gene_names, **how))
        if text is not None:
            encoded.update(self.tokenizer([text] if isinstance(text, str) else list(text), **options))
        return encoded

    def _text_options(self, given: Mapping[str, Any], *, has_text: bool) -> dict[str, Any]:
        """Return the tokenizer's options; transformers would leave out unknown ones with a warning."""
        known = TextKwargs.__annotations__
        inner = {**given.get("common_kwargs", {}), **given.get("text_kwargs", {})}
        if unknown := [name for name in {**given, **inner} if name not in (*known, "text_kwargs", "common_kwargs")]:
            raise TypeError(
                f"{type(self).__name__} takes no {unknown[0]!r}; legal are cells, text, gene_names, x_is and for texts "
                f"{', '.join(known)}."
            )
        longest = {**given, **inner}.get("max_length")
        if not has_text and longest is not None:
            raise ValueError("max_length is of texts, and there are none; for cells call processor.feature_extractor.")
        if longest is not None and longest < 1:
            raise ValueError(f"max_length is {longest}; give at least 1 token, or None for {self.max_text_length}.")
        kinds: Any = LangCellProcessorKwargs
        options = self._merge_kwargs(kinds, **given)["text_kwargs"]
        return {**options, "max_length": longest or self.max_text_length}

    def pad(
        self,
        features: Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Any]],
        padding: bool | str = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        return_tensors: str | None = None,
    ) -> BatchFeature:
        """Pad what was encoded cell by cell and text by text to batches; `DataCollatorWithPadding` calls it.

        Args:
            features: a dict for each row, or one dict of lists, with `cell_input_ids`, `input_ids` or both, and what
                else belongs to a row, such as `labels`.
            padding: as in `LangCellFeatureExtractor.pad`, for cells and texts each, like the options that follow.
            max_length: see there.
            pad_to_multiple_of: see there.
            return_tensors: see there.

        Raises:
            ValueError: there are no rows, not all have the same names, or see there.
        """
        columns = dict(features) if isinstance(features, Mapping) else self.feature_extractor.columns_of(features)
        options = {"padding": padding, "max_length": max_length, "pad_to_multiple_of": pad_to_multiple_of}
        texts = {name: columns.pop(name) for name in _OF_TEXTS if name in columns}
        padded = BatchFeature(columns)
        if "cell_input_ids" in columns:
            padded = self.feature_extractor.pad(columns, **options)
        if texts:
            padded.update(pad_without_fast_tokenizer_warning(self.tokenizer, texts, **options))
        return BatchFeature(padded.data, tensor_type=return_tensors)

    @property
    def model_input_names(self) -> list[str]:
        """Names of the tensors that `__call__` makes."""
        return ["cell_input_ids", "cell_attention_mask", "input_ids", "attention_mask"]

    def save_pretrained(self, save_directory: str | os.PathLike, push_to_hub: bool = False, **kwargs: Any) -> list[str]:
        """Write processor, tokenizer and gene vocabulary into one folder."""
        saved = super().save_pretrained(save_directory, **kwargs)
        # ProcessorMixin stores the feature extractor's settings itself and would leave its vocabulary behind.
        saved += self.feature_extractor.save_pretrained(save_directory)
        if push_to_hub:
            self.push_to_hub(kwargs.pop("repo_id", os.path.basename(os.fspath(save_directory))), **kwargs)
        return saved


LangCellProcessor.register_for_auto_class()
