"""The one place that knows how others name LangCell's tensors: a table, its inverse, and an account of every tensor."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

# Begin of a tensor's name in the released five parts ("part/name") -> in LangCellModel.
RELEASED_TO_LANGCELL = {
    "cell_bert/embeddings.": "cell_encoder.embeddings.",
    "cell_bert/encoder.": "cell_encoder.encoder.",
    "text_bert/embeddings.": "text_encoder.embeddings.",
    "text_bert/encoder.layer.": "text_encoder.layer.",
    "cell_proj/": "cell_projection.",
    "text_proj/": "text_projection.",
    "ctm_head/": "match_head.",
}
LANGCELL_TO_RELEASED = {ours: theirs for theirs, ours in RELEASED_TO_LANGCELL.items()}

# The masked-gene head of Geneformer V1 (a BertForMaskedLM) -> of LangCellForPreTraining.
MASKED_GENE_HEAD = {
    "cell_bert/cls.predictions.transform.dense.": "masked_gene_head.dense.",
    "cell_bert/cls.predictions.transform.LayerNorm.": "masked_gene_head.LayerNorm.",
    "cell_bert/cls.predictions.bias": "masked_gene_head.bias",
}

# What may stand in a checkpoint without a place in ours: positions are counted again, poolers and language-model heads
# take no part in any of LangCell's outputs.
IGNORABLE = (
    re.compile(r"^(cell|text)_bert/embeddings\.position_ids$"),
    re.compile(r"^(cell|text)_bert/pooler\.dense\.(weight|bias)$"),
    re.compile(r"^(cell|text)_bert/cls\.(predictions|seq_relationship)\."),
)

_WRAPPERS = re.compile(r"^(module\.)?(bert\.)?")
_TENSORFLOW_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
_SHOWN = 20


@dataclass
class RenamedTensors:
    """Tensors under LangCell's names.

    Attributes:
        tensors: name -> tensor.
        ignored: `IGNORABLE` tensors that were left out, "part/name" -> tensor.
        unknown: names that have no place, as "part/name".
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    ignored: dict[str, Tensor] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)


def translate(name: str, table: Mapping[str, str]) -> str | None:
    """Replace the begin of a name as the table says; None if no entry fits.

    >>> translate("text_bert/encoder.layer.0.output.dense.bias", RELEASED_TO_LANGCELL)
    'text_encoder.layer.0.output.dense.bias'
    >>> translate("text_encoder.layer.0.output.dense.bias", LANGCELL_TO_RELEASED)
    'text_bert/encoder.layer.0.output.dense.bias'
    """
    for begin, replacement in table.items():
        if name.startswith(begin):
            return replacement + name.removeprefix(begin)
    return None


def rename(part: str, tensors: Mapping[str, Tensor], table: Mapping[str, str] = RELEASED_TO_LANGCELL) -> RenamedTensors:
    """Give the tensors of one part ("cell_bert", "text_bert", "cell_proj", ...) LangCell's names.

    The wrappers `module.` and `bert.` are taken off, and LayerNorm's old gamma and beta renamed. A name that the table
    knows is never ignored.

    Raises:
        ValueError: two tensors end up with the same name.
    """
    result = RenamedTensors()
    for given, tensor in tensors.items():
        name = f"{part}/{_WRAPPERS.sub('', given)}"
        for old, new in _TENSORFLOW_NAMES.items():
            name = name.removesuffix(old) + new if name.endswith(old) else name
        ours = translate(name, table)
        if any(pattern.match(name) for pattern in IGNORABLE) and (ours is None or name.endswith("position_ids")):
            result.ignored[name] = tensor
        elif ours is None:
            result.unknown.append(name)
        elif ours in result.tensors:
            raise ValueError(f"{name} is given twice, with and without a prefix; remove one of them.")
        else:
            result.tensors[ours] = tensor
    return result


def require_all(
    given: Mapping[str, Tensor], expected: Mapping[str, torch.Size], *, unknown: Iterable[str] = (), what: str
) -> None:
    """Refuse tensors without a place and places without a tensor.

    Args:
        given: tensors under LangCell's names.
        expected: shapes under LangCell's names.
        unknown: names that were given and could not be translated.
        what: the checkpoint, for the message.

    Raises:
        ValueError: tensors are unexpected, missing or of another shape; the message lists them.
    """
    unexpected = [*unknown, *sorted(given.keys() - expected.keys())]
    missing = sorted(expected.keys() - given.keys())
    misshaped = [
        f"{name} is {tuple(given[name].shape)}, not {tuple(expected[name])}"
        for name in sorted(given.keys() & expected.keys())
        if given[name].shape != expected[name]
    ]
    faults = [
        _list("unexpected", [_with_source(name) for name in unexpected]),
        _list("missing", [_with_source(name) for name in missing]),
        _list("of another shape", misshaped),
    ]
    if any(faults):
        raise ValueError(f"{what} does not fit LangCell: {'; '.join(filter(None, faults))}.")


def _with_source(name: str) -> str:
    """Return the name that people find in the released files, where there is one."""
    return translate(name, LANGCELL_TO_RELEASED) or name


def _list(kind: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{len(names)} {kind}: {', '.join(names[:_SHOWN])}{more}"
