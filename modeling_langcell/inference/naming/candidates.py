"""The labels that a run chooses from: those that were given, else the model's own, else proposals from its profiles."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from langcell.inference.naming.fine_tuned_labels import config_of, fine_tuned_labels, own_labels
from langcell.inference.naming.options import LabelOptions, NamingOptions
from langcell.inference.running.job import InferenceJob
from langcell.processing.labels.lookup import Label, look_up
from langcell.processing.labels.notes import label_notes
from langcell.processing.labels.resolve import labels_under, read_labels, resolve_labels
from langcell.processing.labels.roots import root_note
from langcell.processing.labels.splitting import split_labels
from langcell.processing.labels.syntax import LabelEntry
from langcell.processing.labels.tissues import types_of_tissue
from langcell.processing.ontology.terms import Ontology

logger = logging.getLogger("langcell")

_SHOWN = 8


@dataclass(frozen=True)
class Candidates:
    """What cells can be called.

    Attributes:
        labels: resolved.
        source: whether somebody "listed" them, they are a "branch" of the ontology, or "taught" to the model.
        notes: lines on how they were read or found.
        proposed: whether they are what the model's training has of "tissue" types, or of "all", since nobody gave any.
    """

    labels: list[Label]
    source: Literal["listed", "branch", "taught"]
    notes: Sequence[str] = ()
    proposed: Literal["", "tissue", "all"] = ""

    def notes_to_tell(self, *, has_known: bool) -> Sequence[str]:
        """Return the notes, but for those on all types of the training where the known ones may take their place."""
        return () if has_known and self.proposed == "all" else self.notes

    def naming(self, options: NamingOptions) -> NamingOptions:
        """Return the options, with a branch named as one where they leave it open."""
        open_branch = self.source == "branch" and options.hierarchy == "auto"
        return replace(options, hierarchy="branch") if open_branch else options


def listed(labels: Any, *, tissue: str | None = None, accept_suggestions: bool = False) -> Candidates:
    """Resolve labels that somebody gave; arguments and errors as `resolve_labels`."""
    found = resolve_labels(labels, tissue=tissue, accept_suggestions=accept_suggestions)
    return Candidates(found, "listed", label_notes(found, tissue=tissue))


def proposed(config: Any, tissue: str | None = None) -> Candidates:
    """Propose candidates where nobody gave labels.

    A fine-tuned model has labels of its own. For another, candidates are the types of the tissue in the profiles that
    it was trained on, or all types that it was trained on.

    Args:
        config: configuration of the model.
        tissue: where the cells are from.

    Raises:
        ValueError: an unknown tissue, or a model that lists no types.
    """
    taught, types = fine_tuned_labels(config), getattr(config, "training_cell_types", None)
    tissues = getattr(config, "tissue_cell_types", None)
    fine_tuned = bool(getattr(config, "fine_tuning", None))
    if taught:
        names = ", ".join(label.name for label in taught)
        return Candidates(taught, "taught", [f"No labels given; those of the fine-tuning are taken: {names}"])
    if tissue is not None and not fine_tuned:
        if not tissues:
            raise ValueError(f"tissue is {tissue!r}, but this model lists no types by tissue; give labels, too.")
        name, ids = types_of_tissue(tissue, tissues)
        labels = resolve_labels(ids)
        return Candidates(
            labels, "branch", [f"No labels given; the {len(labels)} types of {name} {_named(labels)}"], "tissue"
        )
    if fine_tuned or not types:
        return Candidates(own_labels(config), "taught")
    labels = resolve_labels(sorted({term.id for term in map(Ontology.cellxgene().current, types)}))
    hint = "" if not tissues else "; --tissue (tissue=) takes those of one, such as blood or lung"
    note = f"No labels given; all {len(labels)} types of the training {_named(labels)}{hint}"
    return Candidates(labels, "branch", [note], "all")


def chosen(options: LabelOptions, config: Any) -> Candidates:
    """Find the candidates that options of the command line ask for.

    Args:
        options: one source of labels at most.
        config: returns the configuration of the model; called where it is needed.

    Raises:
        ValueError: several sources, labels that cannot be read, or see `proposed`.
    """
    options.check()
    reading: dict[str, Any] = {"tissue": options.tissue, "accept_suggestions": options.accept_suggestions}
    if options.labels is not None:
        return listed(split_labels(options.labels), **reading)
    if options.labels_file is not None:
        labels = read_labels(Path(options.labels_file), **reading)
        return Candidates(labels, "listed", label_notes(labels, tissue=options.tissue))
    if options.ontology_root is None:
        return proposed(config(), options.tissue)
    if not (trained := config().training_cell_types):
        raise ValueError("--ontology-root needs a model that lists its training types; use --labels with this one.")
    ontology = Ontology.cellxgene()
    labels = labels_under(options.ontology_root, among=trained, ontology=ontology)
    notes = [*label_notes(labels), root_note(options.ontology_root, among=trained, ontology=ontology)]
    return Candidates(labels, "branch", notes)


def candidates_of(
    job: InferenceJob,
    labels: Any,
    *,
    has_known: bool = False,
    tissue: str | None = None,
    accept_suggestions: bool = False,
) -> Candidates:
    """Find what cells can be called, as `langcell.annotate` does; notes go to the log of the first process.

    Args:
        job: job of the run.
        labels: as in `langcell.annotate`.
        has_known: whether some cells are known, see `with_known`.
        tissue: where the cells are from.
        accept_suggestions: see `listed`.

    Raises:
        ValueError: see `listed` and `proposed`.
    """
    if labels is None:
        found = proposed(config_of(job.model, job.adapter), tissue)
    else:
        found = listed(labels, tissue=tissue, accept_suggestions=accept_suggestions)
    for note in found.notes_to_tell(has_known=has_known) if job.processes.is_main else ():
        logger.info("%s.", note.removesuffix("."))
    return found


def with_known(candidates: Candidates, names: Sequence[str], job: InferenceJob) -> Candidates:
    """Return what to choose from where some cells are known and nobody gave labels; told in the log.

    Types of a tissue are joined by the known ones. All types of the training make way for these alone: most of them
    are far from what the file has.

    Args:
        candidates: found without the known cells.
        names: names of the known types.
        job: job of the run.

    Raises:
        ValueError: a name that no label can have.
    """
    entries = [LabelEntry(name) for name in names] if candidates.proposed else []
    # Two names of one term are one candidate.
    known = list({(label := look_up(entry, Ontology.cellxgene())).text: label for entry in entries}.values())
    found = candidates
    if candidates.proposed == "all" and len(known) > 1:
        note = f"Candidates are the {len(known)} types that cells are known to have; give labels to add others"
        found = Candidates(known, "listed", [note])
    elif candidates.proposed == "tissue":
        ids = {label.ontology_term_id for label in candidates.labels}
        added = [label for label in known if label.ontology_term_id is None or label.ontology_term_id not in ids]
        note = f"Candidates, too, since cells are known to be of them: {', '.join(label.name for label in added)}"
        found = replace(candidates, labels=[*candidates.labels, *added], notes=[note]) if added else candidates
    untold = found is not candidates or bool(names and candidates.proposed == "all")
    for note in found.notes if untold and job.processes.is_main else ():
        logger.info("%s.", note)
    return found


def _named(labels: Sequence[Label]) -> str:
    more = f" and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else ""
    names = ", ".join(label.name for label in labels[:_SHOWN])
    return f"are taken, from the top of the ontology down: {names}{more}"
