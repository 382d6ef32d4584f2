import json

import pandas as pd
import pytest
from tiny_evidence import typed_cells, typed_model, typed_reference

import langcell


@pytest.fixture(scope="module")
def found():
    cells = typed_cells(40)
    cells.obs["label"] = cells.obs["label"].replace("natural killer cell", "NK <cell>")
    return langcell.audit(cells, model=typed_model(typed_reference()), label_column="label", progress=False)


def test_the_table_json_and_page_say_the_same(found, tmp_path):
    paths = langcell.write_audit(found, tmp_path / "audit", data_name="mine.h5ad")
    assert [path.name for path in paths] == ["audit.csv", "audit.json", "audit.html"]
    table, record = pd.read_csv(paths[0]), json.loads(paths[1].read_text())
    page = paths[2].read_text()
    assert table["label"].tolist() == [group["label"] for group in record["groups"]]
    assert table["status"].tolist() == [group["status"] for group in record["groups"]]
    assert "NK &lt;cell&gt;" in page
    assert "NK <cell>" not in page
    assert "mine.h5ad" in page
    assert page.count("<h2>") == len(record["groups"])
    assert "http" not in page


def test_the_same_audit_writes_the_same_bytes(found, tmp_path):
    one, other = (langcell.write_audit(found, tmp_path / name) for name in ("a", "b"))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in other]


def test_a_file_in_place_of_the_folder_is_refused(found, tmp_path):
    (tmp_path / "audit").write_text("")
    with pytest.raises(ValueError, match="is a file"):
        langcell.write_audit(found, tmp_path / "audit")
    with pytest.raises(ValueError, match="create it first"):
        langcell.write_audit(found, tmp_path / "no" / "audit")
