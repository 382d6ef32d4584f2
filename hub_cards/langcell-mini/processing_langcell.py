"""LangCellProcessor: cells and texts to the inputs of LangCellModel."""

import os
from collections.abc import Sequence
from typing import Any

from transformers.feature_extraction_utils import BatchFeature
from transformers.processing_utils import ProcessorMixin


class LangCellProcessor(ProcessorMixin):
    """A feature extractor for cells and a tokenizer for texts in one object.

    Args:
        feature_extractor: `LangCellFeatureExtractor`.
        tokenizer: any BERT tokenizer.
        max_text_length: longest text in tokens; longer ones are cut (LangCell reads at most 512).
    """

    def __init__(self, feature_extractor: Any, tokenizer: Any, max_text_length: int = 512):
        super().__init__(feature_extractor, tokenizer)
        self.max_text_length = max_text_length

    def __call__(
        self,
        cells: Any = None,
        text: str | Sequence[str] | None = None,
        gene_names: Sequence[str] | None = None,
        x_is: str = "counts",
        return_tensors: str | None = None,
    ) -> BatchFeature:
        """Encode cells, texts, or both; each modality is padded to its longest.

        Args:
            cells: an AnnData, a csr or dense matrix with `gene_names`, or lists of token ids.
            text: one text or several.
            gene_names: names of the matrix's columns.
            x_is: "counts", "linear" or "log1p".
            return_tensors: "pt", "np" or None.

        Returns:
            `cell_input_ids`, `cell_attention_mask` (cells x genes) and `input_ids`, `attention_mask` (texts x tokens).

        Raises:
            ValueError: neither cells nor text is given, or the cells cannot be encoded.
        """
        if cells is None and text is None:
            raise ValueError("LangCellProcessor got neither cells nor text; give at least one of them.")
        encoded = BatchFeature({})
        if cells is not None:
            encoded.update(self.feature_extractor(cells, gene_names, x_is=x_is, return_tensors=return_tensors))
        if text is not None:
            texts = [text] if isinstance(text, str) else list(text)
            tokens = self.tokenizer(
                texts,
                padding=True,
                truncation=True,
                max_length=self.max_text_length,
                return_token_type_ids=False,
                return_tensors=return_tensors,
            )
            encoded.update(tokens)
        return encoded

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
