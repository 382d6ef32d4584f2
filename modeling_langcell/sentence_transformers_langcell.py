"""LangCell as a module of sentence-transformers: texts and cells to unit vectors of one space.

`SentenceTransformer(folder, trust_remote_code=True).encode(...)` takes strings, and cells as lists of token ids (what
`processor(cells)["cell_input_ids"]` holds without its padding), in any order. sentence-transformers takes numpy arrays
for sounds, so that a cell has to be a list or a tuple.

Source: the input modules of sentence-transformers 6.2. Nothing else imports this file.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModel, AutoProcessor

# transformers refuses Hub code whose plain imports are missing, and most users have no need of this file.
try:
    from sentence_transformers.base.modules import InputModule
except ImportError as error:
    raise ImportError("This module of LangCell needs sentence-transformers 6 or later.") from error

_HUB_OPTIONS = ("token", "revision", "local_files_only")


class LangCellEmbedding(InputModule):
    """Both towers of a LangCellModel.

    Args:
        model: `LangCellModel`.
        processor: `LangCellProcessor`.
    """

    def __init__(self, model: Any, processor: Any) -> None:
        super().__init__()
        self.model, self.processor, self.tokenizer = model.eval(), processor, processor.tokenizer

    @classmethod
    def load(cls, model_name_or_path: str, **options: Any) -> "LangCellEmbedding":
        """Load model and processor from a folder or the Hub; see `InputModule.load` for the options.

        Raises:
            ValueError: another backend than torch is asked for.
        """
        if options.get("backend", "torch") != "torch":
            raise ValueError(f"backend is {options['backend']!r}; LangCell runs by 'torch' here.")
        hub = {name: options[name] for name in _HUB_OPTIONS if options.get(name) is not None}
        hub |= {"cache_dir": options.get("cache_folder"), "trust_remote_code": options.get("trust_remote_code", False)}
        model = AutoModel.from_pretrained(model_name_or_path, **hub, **(options.get("model_kwargs") or {}))
        processor = AutoProcessor.from_pretrained(model_name_or_path, **hub, **(options.get("processor_kwargs") or {}))
        return cls(model, processor)

    def preprocess(self, inputs: Sequence[Any], prompt: str | None = None, **_: Any) -> dict[str, Tensor]:
        """Encode a batch of texts and cells.

        Args:
            inputs: strings, and cells as lists or tuples of token ids.
            prompt: put before each text.

        Returns:
            What `LangCellProcessor` makes of them, and their places in `inputs`: `text_rows` and `cell_rows`.

        Raises:
            ValueError: an input is neither.
        """
        texts, cells = ([row for row, one in enumerate(inputs) if is_kind(one)] for is_kind in (_is_text, _is_cell))
        if other := sorted(set(range(len(inputs))) - {*texts, *cells}):
            raise ValueError(
                f"Input {other[0]} is {type(inputs[other[0]]).__name__}; give strings, or cells as lists of token ids."
            )
        given: dict[str, Any] = {}
        if texts:
            given["text"] = [(prompt or "") + inputs[row] for row in texts]
        if cells:
            given["cells"] = [list(inputs[row]) for row in cells]
        encoded = dict(self.processor(**given, return_tensors="pt"))
        rows = {name: torch.tensor(places) for name, places in (("text_rows", texts), ("cell_rows", cells)) if places}
        return encoded | rows

    def forward(self, features: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Add `sentence_embedding`, float32, unit length, (inputs, projection_dim)."""
        parts = []
        if "text_rows" in features:
            found = self.model.get_text_features(
                features["input_ids"], features["attention_mask"], return_dict=True
            ).pooler_output
            parts.append((features["text_rows"], found))
        if "cell_rows" in features:
            found = self.model.get_cell_features(
                features["cell_input_ids"], features["cell_attention_mask"], return_dict=True
            ).pooler_output
            parts.append((features["cell_rows"], found))
        places = torch.cat([rows for rows, _ in parts])
        embeds = torch.cat([found for _, found in parts])
        # Texts come before cells in `embeds`; each goes back to where it was given.
        return features | {"sentence_embedding": embeds[places.argsort(stable=True)]}

    def get_embedding_dimension(self) -> int:
        """Return the width of the common space."""
        return self.model.config.projection_dim

    @property
    def max_seq_length(self) -> int:
        """Tokens of a text that are read; longer texts are cut."""
        return self.processor.max_text_length

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        """Write model, code and processor; sentence-transformers adds its own files."""
        self.model.save_pretrained(output_path)
        self.processor.save_pretrained(output_path)


def _is_text(one: Any) -> bool:
    return isinstance(one, str)


def _is_cell(one: Any) -> bool:
    return isinstance(one, list | tuple) and bool(one) and all(isinstance(token, int) for token in one)
