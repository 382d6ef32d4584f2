"""LangCell: language-cell models that name single cells by text.

>>> import langcell
>>> langcell.LangCellConfig().projection_dim
256
"""

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langcell import pl
    from langcell.configuration_langcell import LangCellCellConfig, LangCellConfig, LangCellTextConfig
    from langcell.inference.annotation import annotate, embed
    from langcell.inference.auditing.audit import audit
    from langcell.inference.evidence.explain import explain
    from langcell.inference.naming.named_clusters import name_clusters
    from langcell.inference.naming.score_table import score_table
    from langcell.inference.scoring.texts import embed_texts
    from langcell.inference.scoring.zero_shot import score_labels
    from langcell.inference.search.retrieval import retrieve
    from langcell.loading.load import DEFAULT_MODEL, load
    from langcell.loading.onnx_model import OnnxLangCell
    from langcell.modeling_langcell import (
        LangCellForCellClassification,
        LangCellForPreTraining,
        LangCellModel,
        LangCellOutput,
    )
    from langcell.processing.feature_extraction_langcell import LangCellFeatureExtractor
    from langcell.processing.genes import GeneVocabulary
    from langcell.processing.processing_langcell import LangCellProcessor
    from langcell.reporting.audit_page import write_audit
    from langcell.reporting.page import write_report
    from langcell.reporting.summary import Summary, summary
    from langcell.scoring_langcell import LabelScores

__all__ = [
    "DEFAULT_MODEL",
    "GeneVocabulary",
    "LabelScores",
    "LangCellCellConfig",
    "LangCellConfig",
    "LangCellFeatureExtractor",
    "LangCellForCellClassification",
    "LangCellForPreTraining",
    "LangCellModel",
    "LangCellOutput",
    "LangCellProcessor",
    "LangCellTextConfig",
    "OnnxLangCell",
    "Summary",
    "annotate",
    "audit",
    "embed",
    "embed_texts",
    "explain",
    "load",
    "name_clusters",
    "pl",
    "retrieve",
    "score_labels",
    "score_table",
    "summary",
    "write_audit",
    "write_report",
]

# Where each name is, so that it is imported when it is first asked for; a name that is added here is added above too.
_HOMES = {
    "langcell.configuration_langcell": ("LangCellCellConfig", "LangCellConfig", "LangCellTextConfig"),
    "langcell.inference.annotation": ("annotate", "embed"),
    "langcell.inference.auditing.audit": ("audit",),
    "langcell.inference.evidence.explain": ("explain",),
    "langcell.loading.onnx_model": ("OnnxLangCell",),
    "langcell.inference.search.retrieval": ("retrieve",),
    "langcell.inference.naming.named_clusters": ("name_clusters",),
    "langcell.inference.naming.score_table": ("score_table",),
    "langcell.inference.scoring.texts": ("embed_texts",),
    "langcell.inference.scoring.zero_shot": ("score_labels",),
    "langcell.loading.load": ("DEFAULT_MODEL", "load"),
    "langcell.modeling_langcell": (
        "LangCellForCellClassification",
        "LangCellForPreTraining",
        "LangCellModel",
        "LangCellOutput",
    ),
    "langcell.processing.feature_extraction_langcell": ("LangCellFeatureExtractor",),
    "langcell.processing.genes": ("GeneVocabulary",),
    "langcell.processing.processing_langcell": ("LangCellProcessor",),
    "langcell.reporting.audit_page": ("write_audit",),
    "langcell.reporting.page": ("write_report",),
    "langcell.reporting.summary": ("Summary", "summary"),
    "langcell.scoring_langcell": ("LabelScores",),
}


def __getattr__(name: str) -> Any:
    if name == "pl":
        return import_module("langcell.pl")
    for home, names in _HOMES.items():
        if name in names:
            value = globals()[name] = getattr(import_module(home), name)
            return value
    raise AttributeError(f"module 'langcell' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _is_command_line() -> bool:
    """Return whether this process is `langcell ...` or `python -m langcell.cli ...`."""
    return Path(sys.argv[0]).stem == "langcell" or "langcell.cli" in sys.orig_argv


# With these, the Auto classes need no trust_remote_code in a process that has imported langcell. They take seconds
# (torch, transformers): the command line answers --help without them, and `langcell.loading` brings them when needed.
if not _is_command_line():
    import_module("langcell.loading.auto_classes")
