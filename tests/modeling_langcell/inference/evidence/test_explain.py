import json

import numpy as np
import pytest
from tiny_evidence import TYPES, markers_of, typed_cells, typed_model, typed_reference

import langcell


@pytest.fixture(scope="module")
def cells():
    return typed_cells()


@pytest.fixture(scope="module")
def model():
    return typed_model(typed_reference())


def explained(cells, model, **options):
    return langcell.explain(cells, model=model, label_column="label", progress=False, **options)


def by_label(found):
    return {group.group: group for group in found.groups}


def test_the_markers_of_a_type_support_it_and_nothing_conflicts(cells, model):
    found = by_label(explained(cells, model))
    for label in TYPES:
        assert {gene.gene for gene in found[label].supporting[:6]} == set(markers_of(label))
        assert not found[label].strong_conflicts
        assert found[label].ontology_term_id == TYPES[label]
        assert f"Blood|{label}|" in found[label].supporting[0].profiles[0]


def test_swapped_labels_have_conflicts_that_speak_for_the_right_one(cells, model):
    swapped = cells.copy()
    other = {"B cell": "natural killer cell", "natural killer cell": "B cell"}
    swapped.obs["label"] = [other.get(label, label) for label in cells.obs["label"]]
    found = by_label(explained(swapped, model))
    for label, right in other.items():
        assert {gene.gene for gene in found[label].strong_conflicts} == set(markers_of(right))
        assert {gene.speaks_for for gene in found[label].strong_conflicts} == {right}
        assert found[label].support < found["CD14-positive monocyte"].support
    assert not found["CD14-positive monocyte"].strong_conflicts


def test_the_order_of_the_cells_and_chunks_changes_nothing(cells, model):
    mixed = cells[np.random.default_rng(1).permutation(cells.n_obs)].copy()
    records = [explained(one, model, **more).record() for one, more in ((cells, {}), (mixed, {"rows_per_chunk": 7}))]
    assert records[0] == records[1]
    json.dumps(records[0])


def test_clusters_are_explained_as_what_most_of_their_cells_are_called(cells, model):
    found = explained(cells, model, cluster_column="leiden", cluster="1")
    (group,) = found.groups
    assert (group.group, group.label, group.cells) == ("1", "natural killer cell", 20)
    assert group.supporting[0].gene in markers_of("natural killer cell")


def test_a_notebook_shows_a_line_per_group(cells, model):
    lines = repr(explained(cells, model, cluster_column="leiden")).splitlines()
    assert lines[0].startswith("Explanation of obs['leiden']")
    assert lines[2].startswith("  1 (natural killer cell), 20 cells: ")
    assert max(map(len, lines)) < 200


def test_cells_without_a_label_are_explained_by_their_cluster(cells, model):
    partly = cells.copy()
    partly.obs["label"] = np.where(cells.obs["leiden"] == "1", "unknown", cells.obs["label"])
    with pytest.raises(ValueError, match="'unknown' have no label that genes could speak for; explain their cluster"):
        explained(partly, model, label="unknown")
    (group,) = explained(partly, model, cluster_column="leiden", cluster="1").groups
    assert group.label == ""
    assert group.notes[0].startswith("No cell of '1' has a label")


def test_a_label_is_found_by_another_name_of_its_type(cells, model):
    (group,) = explained(cells, model, label="NK cell", top=2).groups
    assert group.group == "natural killer cell"
    assert len(group.supporting) == 2


def test_without_reference_cells_the_contrast_in_the_file_is_said_to_be_all(cells):
    (group,) = explained(cells, typed_model(), label="B cell").groups
    assert {gene.gene for gene in group.supporting[:6]} == set(markers_of("B cell"))
    assert group.supporting[0].rank is None
    assert not group.conflicting
    assert "no reference cells" in group.notes[0]


def test_a_file_of_one_label_has_no_contrast_and_says_so(cells, model):
    (group,) = explained(cells[cells.obs["label"] == "B cell"].copy(), model).groups
    assert {gene.gene for gene in group.supporting[:6]} == set(markers_of("B cell"))
    assert group.supporting[0].effect is None
    assert "no other cells" in group.notes[0]


def test_a_type_without_profiles_says_whose_stand_in(cells, model):
    other = cells.copy()
    other.obs["label"] = ["T cell" if label == "natural killer cell" else label for label in cells.obs["label"]]
    found = by_label(explained(other, model))
    assert found["T cell"].stand_ins
    assert "stand in" in found["T cell"].notes[0]


def test_a_label_that_is_no_type_is_explained_by_the_file_alone(cells, model):
    other = cells.copy()
    other.obs["label"] = ["my odd ones" if label == "B cell" else label for label in cells.obs["label"]]
    group = by_label(explained(other, model))["my odd ones"]
    assert "no type that the ontology knows" in group.notes[0]
    assert {gene.gene for gene in group.supporting[:6]} == set(markers_of("B cell"))


def test_own_marker_lists_speak_where_the_model_knows_nothing(cells, tmp_path):
    path = tmp_path / "mine.gmt"
    path.write_text("\t".join(["NK", "", *markers_of("natural killer cell")]) + "\n")
    other = cells.copy()
    other.obs["label"] = [label if label != "natural killer cell" else "B cell" for label in cells.obs["label"]]
    other.obs.iloc[-5:, other.obs.columns.get_loc("label")] = "natural killer cell"
    found = by_label(explained(other, typed_model(typed_reference()), markers=path))
    conflict = found["B cell"].conflicting[0]
    assert conflict.speaks_for == "natural killer cell"
    assert conflict.listed_for == ("natural killer cell",)


def test_between_two_labels_genes_are_missing_and_in_the_way(cells, model):
    found = explained(cells, model, label="B cell", against="NK cell").comparison
    assert {gene.gene for gene in found.of_kind("missing")[:6]} == set(markers_of("natural killer cell"))
    assert {gene.gene for gene in found.of_kind("in the way")[:6]} == set(markers_of("B cell"))
    assert found.cells_against == 20


def test_the_other_label_need_not_be_in_the_file(cells, model):
    some = cells[cells.obs["label"] != "natural killer cell"].copy()
    found = explained(some, model, label="B cell", against="NK cell").comparison
    assert {gene.gene for gene in found.of_kind("missing")[:6]} == set(markers_of("natural killer cell"))
    assert "no cell of NK cell" in found.notes[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": "T cell"}, "has no group 'T cell'; it has B cell"),
        ({"cluster_column": "louvain"}, "unknown cluster column 'louvain'"),
        ({"label": "B cell", "against": "B cell"}, "is the label itself"),
        ({"against": "B cell"}, "without a label"),
        ({"top": 0}, "top is 0"),
        ({"cell": "cell1", "cluster": "1"}, "exclude each other"),
        ({"cell": "nobody"}, "No cell is called 'nobody'"),
    ],
)
def test_what_is_not_there_is_refused_in_one_line(cells, model, options, message):
    with pytest.raises(ValueError, match=message):
        explained(cells, model, **options)


def test_a_file_that_was_not_named_says_what_to_do(cells, model):
    with pytest.raises(ValueError, match="Name the cells first"):
        langcell.explain(cells, model=model)


def test_a_plot_of_the_first_genes_is_the_same_twice(cells, model, tmp_path):
    found = explained(cells, model)
    for name in ("a.png", "b.png"):
        found.plot(tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with pytest.raises(ValueError, match="Cannot draw"):
        found.plot(tmp_path / "a.gif")
    mean, share = found.means_and_shares(["GENE1", "GENE8"])
    assert mean.loc["B cell", "GENE1"] > mean.loc["natural killer cell", "GENE1"]
    assert share.to_numpy().max() <= 1
