"""What people call cells: split, parse and resolve label names to Cell Ontology terms and texts.

It uses `ontology` and `files`; everybody may enter. Start with `resolve_labels`.
"""

from langcell.processing.labels.notes import label_notes
from langcell.processing.labels.resolve import Label, labels_under, read_labels, resolve_labels, typed_labels
from langcell.processing.labels.suggest import suggest

__all__ = ["Label", "label_notes", "labels_under", "read_labels", "resolve_labels", "suggest", "typed_labels"]
