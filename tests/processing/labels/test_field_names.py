"""Names as the field's vocabularies write them: the table is right, and names are read as the terms that are meant."""

import csv
from pathlib import Path

import pytest

from langcell.processing.labels.field_names import context_words, field_names, find_field_name
from langcell.processing.labels.lookup import look_up
from langcell.processing.labels.resolve import resolve_labels
from langcell.processing.labels.syntax import LabelEntry
from langcell.processing.ontology.terms import Ontology
from langcell.processing.ontology.trusted_names import is_foreign

HERE = Path(__file__).parent
ONTOLOGY = Ontology.cellxgene()


def names_in(file: str) -> list[tuple[str, list[str]]]:
    """Names, and the ids of the terms that are right for each; none where a name has to stay as it is."""
    with (HERE / file).open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    return [(row["name"], [term_id for term_id in row["terms"].split("|") if term_id]) for row in rows]


def read(name: str) -> str | None:
    return look_up(LabelEntry(name), ONTOLOGY).ontology_term_id


def test_every_row_names_a_current_term_of_human_cells_by_its_name():
    for row in field_names():
        term = ONTOLOGY.term(row.ontology_term_id)
        assert (term.name, term.obsolete) == (row.term_name, False), row
        assert not is_foreign(term), row
        assert row.vocabularies, row


def test_no_name_means_two_terms_at_once():
    meanings: dict[str, set[str]] = {}
    for row in field_names():
        if not row.context:
            meanings.setdefault(row.name, set()).add(row.ontology_term_id)
    assert {name: ids for name, ids in meanings.items() if len(ids) > 1} == {}
    for row in field_names():
        assert find_field_name(row.name, context=row.context) in (row.ontology_term_id, None), row


def test_the_table_takes_no_name_of_a_term_for_another():
    for row in field_names():
        found = ONTOLOGY.find(row.name)
        assert found is None or found[1] != "name" or found[0].id == row.ontology_term_id, row


@pytest.mark.parametrize(
    ("file", "least"),
    [pytest.param("names_of_vocabularies.tsv", 135, id="known"), pytest.param("names_held_out.tsv", 80, id="held out")],
)
def test_names_of_vocabularies_are_read_as_what_is_meant(file, least):
    names = names_in(file)
    readings = {name: (read(name), meant) for name, meant in names}
    wrong = {name: (found, meant) for name, (found, meant) in readings.items() if found and found not in meant}
    assert wrong == {}
    right = sum(found in meant for found, meant in readings.values() if meant)
    assert right >= least, [name for name, (found, meant) in readings.items() if meant and found not in meant]


@pytest.mark.parametrize(
    ("name", "around", "term_id"),
    [
        pytest.param("HSC", ["Hepatocyte", "Kupffer", "LSEC"], "CL:0000632", id="stellate beside hepatocytes"),
        pytest.param("HSC", ["MEP", "GMP", "B cell"], "CL:0000037", id="stem cell beside progenitors"),
        pytest.param("HSC", ["my odd cells"], "CL:0000037", id="stem cell where nothing says otherwise"),
        pytest.param("PC", ["PT", "podocyte"], "CL:0005009", id="principal cell in the kidney"),
        pytest.param("PC", ["Bergmann glia", "CGC"], "CL:0000121", id="Purkinje cell in the cerebellum"),
        pytest.param("PC", ["my odd cells"], None, id="nothing where nothing says what"),
        pytest.param("MG", ["Rod", "Cone"], "CL:0000636", id="Mueller cell in the retina"),
        pytest.param("MG", ["Astro", "Oligo"], "CL:0000129", id="microglia in the brain"),
        pytest.param("ductal", ["alpha", "beta"], "CL:0002079", id="pancreatic duct"),
        pytest.param("acinar", ["parotid duct"], "CL:0002623", id="salivary acinus"),
    ],
)
def test_names_with_several_meanings_are_read_by_what_is_around(name, around, term_id):
    assert resolve_labels([name, *around])[0].ontology_term_id == term_id


def test_the_tissue_is_around_too():
    names = ["KC", "my odd cells"]
    assert resolve_labels(names, tissue="liver")[0].ontology_term_id == "CL:0000091"
    assert resolve_labels(names, tissue="skin of face")[0].ontology_term_id == "CL:0000312"
    assert resolve_labels(names)[0].match is None


def test_the_order_of_labels_does_not_matter():
    names = ["HSC", "Hepatocyte", "PC", "ductal", "alpha"]
    forward, backward = resolve_labels(names), resolve_labels(names[::-1])
    assert forward == backward[::-1]


def test_organs_have_several_words():
    assert {"liver", "hepatic"} <= context_words(["Hepatic things"])


def test_symbols_and_names_of_other_animals_mean_nothing_by_themselves():
    assert [read(name) for name in ("IC", "Vip", "IPC", "LG", "VD", "AB")] == [
        "CL:0005010", "CL:4023016", None, None, None, None,
    ]  # fmt: skip
    striatal = ONTOLOGY.term("CL:4310127")
    assert read(striatal.name) == striatal.id
