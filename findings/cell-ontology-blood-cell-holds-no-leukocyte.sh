#!/usr/bin/env bash
# "blood cell" of the Cell Ontology holds neither lymphocytes nor monocytes.
#
# One would guess: the descendants of CL:0000081, blood cell, are the cells that one finds in blood.
# What happens: of the usual types of a blood sample it holds platelets, erythrocytes and neutrophils. T, B and NK
#   cells, monocytes, dendritic cells, and leukocyte as a whole lie elsewhere. Hematopoietic cell holds them all.
# Seen with: the Cell Ontology of cellxgene-ontology-guide 1.11.1 (schema 7.1.0).
# Why a user would care: a filter "all blood cells" by descendants keeps almost none of a PBMC data set. A model that
#   calls a T cell "blood cell" gets no credit for being near.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
cd "$room"
python3 -m venv venv
venv/bin/pip install --quiet --quiet --no-compile cellxgene-ontology-guide==1.11.1
venv/bin/python - <<'PY'
import sys
from importlib.metadata import version

from cellxgene_ontology_guide.ontology_parser import OntologyParser

parser = OntologyParser()
print(f"cellxgene-ontology-guide {version('cellxgene-ontology-guide')}, schema {parser.cxg_schema.version}")
inside = {"CL:0000233": "platelet", "CL:0000232": "erythrocyte", "CL:0000775": "neutrophil"}
outside = {
    "CL:0000738": "leukocyte",
    "CL:0000542": "lymphocyte",
    "CL:0000084": "T cell",
    "CL:0000236": "B cell",
    "CL:0000623": "natural killer cell",
    "CL:0000576": "monocyte",
    "CL:0000451": "dendritic cell",
}
blood, hematopoietic = "CL:0000081", "CL:0000988"
as_seen = parser.get_term_label(blood) == "blood cell" and parser.get_term_label(hematopoietic) == "hematopoietic cell"
for term, name in (inside | outside).items():
    above = parser.get_term_ancestors(term)
    print(f"{name}: a blood cell: {blood in above}, a hematopoietic cell: {hematopoietic in above}")
    as_seen &= parser.get_term_label(term) == name and hematopoietic in above and (blood in above) == (term in inside)
if not as_seen:
    sys.exit("the ontology changed")
PY
