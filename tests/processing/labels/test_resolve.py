"""Labels as users write them: names, ids, mappings, command-line text and files."""

import doctest
import json

import pytest

from langcell.processing.labels import resolve as labels_module
from langcell.processing.labels.resolve import (
    Label,
    labels_under,
    read_labels,
    resolve_labels,
    typed_labels,
)
from langcell.processing.ontology.terms import Ontology

OBO = """format-version: 1.2

[Term]
id: LAB:01
name: red cell
def: "A cell that is red." [LAB:me]

[Term]
id: LAB:02
name: cell, blue
synonym: "indigo cell" EXACT []

[Term]
id: LAB:03
name: obsolete rouge cell
is_obsolete: true
replaced_by: LAB:01

[Term]
id: LAB:04
name: obsolete lost cell
is_obsolete: true
"""


@pytest.fixture(scope="module")
def ontology() -> Ontology:
    return Ontology.cellxgene()


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Ontology:
    path = tmp_path_factory.mktemp("ontology") / "lab.obo"
    path.write_text(OBO)
    return Ontology.from_file(path)


def test_docstring_examples_run():
    assert doctest.testmod(labels_module).failed == 0


class TestShorthand:
    def test_a_shorthand_has_the_text_of_its_term_and_keeps_its_name(self, ontology):
        label = resolve_labels(["Naive CD4 T", "my cells"], ontology=ontology)[0]
        term = ontology.term("CL:0000895")
        assert (label.name, label.ontology_term_id, label.match) == ("Naive CD4 T", term.id, "table")
        assert label.text == resolve_labels([term.id, "my cells"], ontology=ontology)[0].text

    def test_shorthands_of_one_term_stay_as_they_are(self, ontology):
        labels = resolve_labels(["NK", "CD56+ NK", "B"], ontology=ontology)
        assert [label.match for label in labels] == [None, None, "table"]
        assert labels[0].remark == "NK is used as it is: it means natural killer cell (CL:0000623), as CD56+ NK does"
        assert labels[0].text == "cell type: nk; "

    def test_a_name_counts_before_a_shorthand_of_the_same_term(self, ontology):
        labels = resolve_labels(["NK", "natural killer cell"], ontology=ontology)
        assert [label.match for label in labels] == [None, "name"]

    def test_a_text_that_is_given_stays(self, ontology):
        label = resolve_labels({"Mono": "my monocytes", "B": "my B cells"}, ontology=ontology)[0]
        assert (label.text, label.ontology_term_id, label.match) == ("my monocytes", None, "given")

    def test_a_file_without_cell_ontology_terms_is_not_read_so(self, lab):
        assert resolve_labels(["Mono", "B"], ontology=lab)[0].match is None


class TestResolve:
    @pytest.mark.parametrize(
        ("label", "name", "term_id", "match", "start"),
        [
            pytest.param("B cell", "B cell", "CL:0000236", "name", "b cell. a lymphocyte", id="name"),
            pytest.param("NK cell", "NK cell", "CL:0000623", "synonym", "natural killer cell. a", id="synonym"),
            pytest.param("b_cells", "b_cells", "CL:0000236", "name", "b cell. a lymphocyte", id="as_typed"),
            pytest.param(" CL:0000236 ", "B cell", "CL:0000236", "id", "b cell. a lymphocyte", id="id"),
            pytest.param("My Odd Cells", "My Odd Cells", None, None, "my odd cells; ", id="not_in_the_ontology"),
        ],
    )
    def test_one(self, label, name, term_id, match, start):
        resolved = resolve_labels([label, "monocyte"])[0]
        assert (resolved.name, resolved.ontology_term_id, resolved.match) == (name, term_id, match)
        assert resolved.text.startswith(f"cell type: {start}")

    def test_order_is_the_users(self, ontology):
        names = ["monocyte", "B cell", "zebra", "NK cell", "alpha"]
        assert [label.name for label in resolve_labels(names, ontology=ontology)] == names
        assert [label.name for label in resolve_labels(names[::-1], ontology=ontology)] == names[::-1]

    def test_mapping_keeps_texts_as_they_are(self):
        first, second = resolve_labels({"B cell": "Makes Antibodies", "odd": "something odd"})
        assert first == Label("B cell", "Makes Antibodies", "CL:0000236", "given")
        assert second == Label("odd", "something odd", None, "given")

    def test_resolved_labels_stay_as_they_are(self):
        labels = resolve_labels(["B cell", "odd"])
        assert resolve_labels(labels) == labels

    @pytest.mark.parametrize(
        ("term_id", "text"),
        [
            ("UBERON:0000178", "tissue: blood. "),
            ("MONDO:0100096", "disease: covid-19. "),
            ("PATO:0000461", "disease: normal. "),
            ("PATO:0000384", "sex: male. "),
            ("EFO:0009922", "assay: 10x 3' v3. "),
        ],
    )
    def test_ids_of_other_ontologies_are_described_under_their_aspect(self, term_id, text):
        assert resolve_labels([term_id, "B cell"])[0].text.startswith(text)

    def test_own_ontology(self, lab):
        red, blue, cl = resolve_labels(["red cell", "indigo cell", "B cell"], ontology=lab)
        assert red == Label("red cell", "cell type: red cell. a cell that is red.; ", "LAB:01", "name")
        assert blue == Label("indigo cell", "cell type: cell, blue; ", "LAB:02", "synonym")
        assert cl.match is None

    @pytest.mark.parametrize(
        ("labels", "message"),
        [
            pytest.param([], "Got no labels, but naming needs at least two labels", id="none"),
            pytest.param({}, "Got no labels", id="empty_mapping"),
            pytest.param(["B cell"], r"Got one label \('B cell'\)", id="one"),
            pytest.param("B cell,NK cell", "Labels are one string", id="string"),
            pytest.param(["B cell", ""], "A label is empty", id="empty_name"),
            pytest.param({"B cell": "x", " ": "y"}, "A label is empty", id="empty_name_in_mapping"),
            pytest.param({"B cell": "x", "T cell": " "}, "Label 'T cell' has no text", id="empty_text"),
            pytest.param({"B cell": "x", "T cell": 3}, "Label 'T cell' has no text", id="text_is_a_number"),
            pytest.param(["B cell", float("nan")], "Label nan is not text", id="not_text"),
            pytest.param(["B cell", "b_cell", "odd", "odd"], "'B cell' and 'b_cell'; 'odd' and 'odd'", id="duplicates"),
            pytest.param(["NK cell", "natural killer cell"], "same text.*'NK cell' and 'natural", id="same_term"),
            pytest.param({"a": "Text.", "b": "text. "}, "same text.*'a' and 'b'", id="same_text"),
            pytest.param(["B cell", "CL:9999999"], "Unknown ontology id 'CL:9999999'", id="unknown_id"),
            pytest.param(["B cell", "CL:0000004"], "CL:0000004 .*is obsolete, and no successor", id="obsolete"),
            pytest.param(["B cell (CL:0000084)", "x"], "words mean B cell .*, its id T cell", id="disagree"),
        ],
    )
    def test_errors(self, labels, message):
        with pytest.raises(ValueError, match=message) as caught:
            resolve_labels(labels)
        assert "\n" not in str(caught.value)

    def test_an_obsolete_id_is_read_as_its_successor_which_is_said(self, lab):
        label = resolve_labels(["LAB:03", "cell, blue"], ontology=lab)[0]
        assert (label.name, label.ontology_term_id, label.match) == ("red cell", "LAB:01", "id")
        assert label.remark == "LAB:03 (obsolete rouge cell) is obsolete; its successor LAB:01 (red cell) is taken"

    def test_an_obsolete_id_without_a_name_is_told_without_brackets(self, ontology):
        label = resolve_labels(["CL:0000044", "B cell"], ontology=ontology)[0]
        assert label.remark.startswith("CL:0000044 is obsolete; its successor CL:0000051 (common lymphoid progenitor)")

    def test_an_obsolete_id_of_a_file_without_successor_is_refused(self, lab):
        with pytest.raises(ValueError, match="no successor is known"):
            resolve_labels(["LAB:04", "red cell"], ontology=lab)


class TestUnder:
    def test_sorted_by_id_and_root_included(self, ontology):
        among = ["CL:0000623", "CL:0000236", "CL:0000542", "CL:0000233", "LAB:01", "CL:0000236"]
        labels = labels_under("CL:0000542", among=among, ontology=ontology)
        assert [label.ontology_term_id for label in labels] == ["CL:0000236", "CL:0000542", "CL:0000623"]
        assert [label.name for label in labels] == ["B cell", "lymphocyte", "natural killer cell"]
        assert labels == resolve_labels(["CL:0000236", "CL:0000542", "CL:0000623"])

    def test_obsolete_types_count_as_their_successors(self, ontology):
        labels = labels_under("CL:0000000", among=["CL:0000003", "CL:0000236"], ontology=ontology)
        assert [label.name for label in labels] == ["cell", "B cell"]

    def test_the_root_by_name(self, ontology):
        among = ["CL:0000623", "CL:0000236", "CL:0000233"]
        by_id, by_name = (labels_under(root, among=among, ontology=ontology) for root in ("CL:0000542", " lymphocyte "))
        assert by_name == by_id

    @pytest.mark.parametrize(
        ("root_id", "among", "message"),
        [
            pytest.param("CL:0000540", ["CL:0000236"], r"Of the 1 types .* none is CL:0000540 \(neuron\)", id="none"),
            pytest.param("CL:0000542", ["CL:0000236"], r"only CL:0000236 \(B cell\) is .* at least two", id="one"),
            pytest.param("CL:9999999", ["CL:0000236"], "Unknown ontology id 'CL:9999999'", id="unknown"),
            pytest.param("lymphocites", ["CL:0000236"], "No cell type is called 'lymphocites'", id="unknown_name"),
            pytest.param("CL:0000004", ["CL:0000236"], "is obsolete, and no successor is known", id="obsolete"),
        ],
    )
    def test_errors(self, ontology, root_id, among, message):
        with pytest.raises(ValueError, match=message):
            labels_under(root_id, among=among, ontology=ontology)


class TestTyped:
    def test_lines_and_commas_are_what_a_file_has(self, tmp_path):
        path = tmp_path / "labels.txt"
        path.write_text("NK cell\nCD4-positive, alpha-beta T cell\nmine\ta cell of mine\n")
        typed = "NK cell, CD4-positive, alpha-beta T cell\n\n# of my own\n mine\ta cell of mine"
        assert typed_labels(typed) == read_labels(path)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            pytest.param("", "Got no labels", id="nothing"),
            pytest.param("B cell\nNK cell\t", "Labels, line 2: .* Expected a label, or a label, one tab", id="no_text"),
            pytest.param("B cell,, NK cell", "label 2 is empty. Remove the extra comma", id="comma"),
        ],
    )
    def test_errors(self, text, message):
        with pytest.raises(ValueError, match=message):
            typed_labels(text)


class TestRead:
    @pytest.mark.parametrize(
        ("name", "content"),
        [
            pytest.param("l.txt", "# mine\nB cell\n\n  NK cell  \nodd, one\n", id="txt"),
            pytest.param("l.TXT", "B cell\r\nNK cell\r\nodd, one", id="windows_lines"),
            pytest.param("l", "\ufeffB cell\nNK cell\nodd, one\n", id="no_suffix_with_byte_order_mark"),
            pytest.param("l.json", json.dumps(["B cell", "NK cell", "odd, one"]), id="json_list"),
            pytest.param(
                "l.json", '[{"name": "B cell"}, "NK cell", {"name": "odd, one", "text": null}]', id="json_mixed"
            ),
        ],
    )
    def test_names(self, tmp_path, name, content):
        path = tmp_path / name
        path.write_bytes(content.encode())
        assert read_labels(path) == resolve_labels(["B cell", "NK cell", "odd, one"])

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            pytest.param("l.tsv", "label\ttext\nB cell\tmakes antibodies\nodd\ta, b\n", id="tsv_with_header"),
            pytest.param("l.txt", "B cell\tmakes antibodies\n# note\nodd\ta, b\n", id="tabs_in_txt"),
            pytest.param("l.json", '{"B cell": "makes antibodies", "odd": "a, b"}', id="json_object"),
            pytest.param(
                "l.json",
                '[{"name": "B cell", "text": "makes antibodies"}, {"name": "odd", "text": "a, b"}]',
                id="json_objects",
            ),
        ],
    )
    def test_texts(self, tmp_path, name, content):
        path = tmp_path / name
        path.write_text(content)
        assert read_labels(path) == resolve_labels({"B cell": "makes antibodies", "odd": "a, b"})

    def test_line_without_text_among_lines_with_text(self, tmp_path):
        path = tmp_path / "l.tsv"
        path.write_text("odd\ta text\nNK cell\n")
        assert [label.match for label in read_labels(path)] == ["given", "synonym"]

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            pytest.param("l.json", '{"mine": "CL:0000236", "T cell": null}', id="json_object"),
            pytest.param("l.json", '[{"name": "mine", "text": "CL:0000236"}, "T cell"]', id="json_objects"),
            pytest.param("l.tsv", "mine\tCL:0000236\nT cell\n", id="tsv"),
        ],
    )
    def test_an_id_in_place_of_a_text_is_looked_up(self, tmp_path, name, content):
        path = tmp_path / name
        path.write_text(content)
        b_cell, t_cell = resolve_labels(["B cell", "T cell"])
        assert read_labels(path) == [Label("mine", b_cell.text, "CL:0000236", "id"), t_cell]

    def test_json_null_text_is_looked_up(self, tmp_path):
        path = tmp_path / "l.json"
        path.write_text('{"odd": "a text", "NK cell": null}')
        assert [label.match for label in read_labels(path)] == ["given", "synonym"]

    def test_json_id_gives_the_text_and_keeps_the_name(self, tmp_path, ontology):
        path = tmp_path / "l.json"
        path.write_text(
            json.dumps(
                [
                    {"name": "cluster B", "ontology_term_id": "CL:0000236"},
                    {"name": "cluster K", "text": "kills", "ontology_term_id": "CL:0000623"},
                ]
            )
        )
        b_cell, killer = read_labels(path, ontology=ontology)
        assert b_cell == Label("cluster B", resolve_labels(["B cell", "x"])[0].text, "CL:0000236", "id")
        assert killer == Label("cluster K", "kills", "CL:0000623", "given")

    def test_own_ontology(self, tmp_path, lab):
        path = tmp_path / "l.txt"
        path.write_text("red cell\nB cell\n")
        assert [label.match for label in read_labels(path, ontology=lab)] == ["name", None]

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            pytest.param("l.txt", None, "No such file", id="missing"),
            pytest.param("l.csv", b"B cell,NK cell", "unknown suffix '.csv'. Use .txt, .tsv or .json", id="suffix"),
            pytest.param("l.txt", b"B cell\n\xff\xfe\n", "Give a text file in UTF-8", id="not_utf8"),
            pytest.param("l.txt", b"# nothing\n", "Got no labels", id="no_labels"),
            pytest.param("l.txt", b"B cell\n", "Got one label", id="one_label"),
            pytest.param("l.txt", b"B cell\nCL:9999999\n", "Unknown ontology id 'CL:9999999'", id="unknown_id"),
            pytest.param("l.tsv", b"B cell\tx\n\n\ty\n", "line 3", id="tsv_empty_name"),
            pytest.param("l.tsv", b"B cell\tx\nT cell\t\n", "line 2", id="tsv_empty_text"),
            pytest.param(
                "l.tsv", b"B cell\tx\ty\n", "line 1.*Expected a label, or a label, one tab", id="three_columns"
            ),
            pytest.param("l.json", b'["B cell",\n "NK cell"', "line 2: not valid JSON", id="malformed_json"),
            pytest.param("l.json", b'"B cell"', "found a JSON str. Expected a list", id="json_string"),
            pytest.param("l.json", b'{"B cell": "x", "B cell": "y"}', "duplicate key 'B cell'", id="json_duplicate"),
            pytest.param("l.json", b'{"a": "CL:9999999", "b": null}', "'a': Unknown ontology id", id="json_unknown_id"),
            pytest.param("l.json", b'["B cell", 5]', "label 2 is 5. Expected text", id="json_number"),
            pytest.param("l.json", b'["B cell", ""]', "label 2 is .*none of them empty", id="json_empty_name"),
            pytest.param("l.json", b'[{"name": "a", "txt": "b"}, "c"]', "label 1 is .*txt", id="json_unknown_key"),
        ],
    )
    def test_errors_name_the_file(self, tmp_path, name, content, message):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ValueError, match=message) as caught:
            read_labels(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
