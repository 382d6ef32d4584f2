#!/usr/bin/env bash
# An obsolete cell type has no name, and its replacement may be a plant.
#
# One would guess: an obsolete term of the Cell Ontology keeps its label (begun with "obsolete"), and its replacement is
#   a term of the Cell Ontology.
# What happens: terms that were merged into others have the empty string as label, without an error: 73 of them. And of
#   the replacements, 46 are terms of the Plant Ontology and others of cell lines, so that a walk along "replaced by"
#   ends in an ontology where the term of a human cell is not found.
# Seen with: cellxgene-ontology-guide 1.11.1 (schema 7.1.0).
# Why a user would care: labels of older data sets are looked up by id. A text model that gets "" as a cell type scores
#   it like any other label, and all merged terms collapse into one.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
cd "$room"
python3 -m venv venv
venv/bin/pip install --quiet --quiet --no-compile cellxgene-ontology-guide==1.11.1
venv/bin/python - <<'PY'
import sys
from collections import Counter
from importlib.metadata import version

from cellxgene_ontology_guide.ontology_parser import OntologyParser

parser = OntologyParser()
print(f"cellxgene-ontology-guide {version('cellxgene-ontology-guide')}, schema {parser.cxg_schema.version}")
obsolete = [term for term in parser.cxg_schema.ontology("CL") if parser.is_term_deprecated(term)]
nameless = [term for term in obsolete if parser.get_term_label(term) == ""]
to = Counter((parser.get_term_replacement(term) or "none").split(":")[0] for term in obsolete)
first = nameless[0]
print(f"{len(obsolete)} obsolete terms, {len(nameless)} of them with an empty label")
print(f"{first}: label {parser.get_term_label(first)!r}, replaced by {parser.get_term_replacement(first)}")
print(f"replacements by ontology: {dict(to)}")
if not (len(nameless) == 73 and all(parser.get_term_replacement(term) for term in nameless) and to["PO"] == 46):
    sys.exit("the ontology changed")
PY
