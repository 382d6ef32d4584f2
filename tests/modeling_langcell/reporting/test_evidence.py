import json

import pytest
from tiny_evidence import typed_cells, typed_model, typed_reference

import langcell
from langcell.reporting.evidence import evidence_blocks, evidence_section, read_evidence


@pytest.fixture(scope="module")
def record():
    cells = typed_cells()
    cells.obs["label"] = ["B cell" if label == "natural killer cell" else label for label in cells.obs["label"]]
    cells.obs.iloc[-4:, cells.obs.columns.get_loc("label")] = "natural killer cell"
    found = langcell.explain(cells, model=typed_model(typed_reference()), label_column="label", progress=False)
    return found.record()


def test_each_label_opens_and_strong_conflicts_stand_out(record):
    blocks = evidence_blocks(record)
    assert set(blocks) == {group["group"] for group in record["groups"]}
    wrong = next(group for group in record["groups"] if group["strong_conflicts"])
    block = blocks[wrong["group"]]
    assert block.startswith('<details class="evidence" open>')
    assert "against it</span>" in block
    assert block.count("background:#fdecea") == min(wrong["strong_conflicts"], 10)
    for gene in wrong["supporting"][:5]:
        assert gene["gene"] in block
    calm = [name for name, text in blocks.items() if " open>" not in text]
    assert "background:#fdecea" not in "".join(blocks[name] for name in calm)


def test_a_report_opens_no_label_where_many_have_strong_conflicts(record):
    strong = {**record, "strong_conflict": 0.0}
    n_strong = sum(bool(group["conflicting"]) for group in record["groups"])
    assert n_strong > 1
    assert str(evidence_blocks(strong, most_open=n_strong)).count(" open>") == n_strong
    assert " open>" not in str(evidence_blocks(strong, most_open=n_strong - 1))


def test_names_are_escaped():
    group = {"group": "<i>odd</i>", "label": "", "supporting": [], "conflicting": [], "notes": ["<b>"]}
    (block,) = evidence_blocks({"strong_conflict": 0.8, "groups": [group]}).values()
    assert "&lt;i&gt;odd" in block
    assert "<b>" not in block.replace("<summary><b>", "")


def test_without_evidence_a_report_has_no_section(record):
    assert evidence_section(None) == ""
    assert evidence_section(record).startswith("<h2>Genes for and against each label</h2>")


def test_a_report_shows_the_evidence_that_it_is_given(record, tmp_path):
    pytest.importorskip("plotly")
    from tiny_named import named_cells

    for name, evidence in (("with.html", record), ("without.html", None)):
        langcell.write_report(named_cells(30), tmp_path / name, evidence=evidence)
    assert (tmp_path / "with.html").read_text().count('<details class="evidence"') == len(record["groups"])
    assert '<details class="evidence"' not in (tmp_path / "without.html").read_text()


def test_evidence_is_read_back_and_other_files_are_refused(record, tmp_path):
    path = tmp_path / "evidence.json"
    path.write_text(json.dumps(record))
    assert evidence_section(read_evidence(path)) == evidence_section(record)
    for text, message in (("nothing", "no JSON"), ('{"genes": []}', "no evidence of labels")):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_evidence(path)
