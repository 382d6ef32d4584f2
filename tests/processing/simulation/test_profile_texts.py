import numpy as np
import pytest
import tiny_profiles

from langcell.processing.ontology.terms import Ontology
from langcell.processing.simulation.cell_profiles import CellProfiles
from langcell.processing.simulation.profile_texts import TEXT_SHARES, profile_texts, tissue_ids


@pytest.fixture(scope="module")
def profiles(tmp_path_factory) -> CellProfiles:
    return CellProfiles.read(tiny_profiles.write_profiles(tmp_path_factory.mktemp("profiles") / "profiles.h5ad"))


@pytest.fixture(scope="module")
def texts(profiles):
    return profile_texts(profiles, Ontology.cellxgene())


def test_every_kind_has_its_share(texts):
    chosen = texts.choose(np.repeat([0, 1, 2], 2_000), np.random.default_rng(0))
    forms = [texts.descriptions[i].form for i in chosen]
    assert forms.count("full") / len(forms) == pytest.approx(TEXT_SHARES["full"] / 0.95, abs=0.03)  # none is "own"
    assert forms.count("narrower") / len(forms) == pytest.approx(TEXT_SHARES["narrower"] / 0.95, abs=0.03)
    assert {"name", "synonym", "definition", "with tissue", "written"} < set(forms)


def test_a_cell_has_texts_of_its_own_type_and_below(profiles, texts):
    ontology = Ontology.cellxgene()
    for row, ids in enumerate(texts.ids):
        cl_id = profiles.obs["cl_id"].iloc[row]
        own = [texts.descriptions[i] for i in ids]
        assert {text.cell_type_ontology_term_id for text in own} == {cl_id}
        assert {text.tissue_ontology_term_id for text in own} <= {"", tissue_ids(profiles)[row]}
        names = {ontology.term(below).name.lower() for below in ontology.descendants(cl_id)}
        narrower = {text.text for text in own if text.form == "narrower"}
        assert narrower
        assert any(name in narrower for name in names)


def test_texts_are_distinct_and_weights_are_probabilities(texts):
    written = [description.text for description in texts.descriptions]
    assert len(set(written)) == len(written)
    assert all(weights.sum() == pytest.approx(1) for weights in texts.weights)


def test_what_a_study_calls_its_cells_is_a_text(profiles):
    named = CellProfiles(
        **{
            **vars(profiles),
            "obs": profiles.obs.assign(label_original=[f"Odd.cells.{i}" for i in range(len(profiles))]),
        }
    )
    only = profile_texts(named, Ontology.cellxgene(), shares={"full": 0.5, "own": 0.5})
    types = profiles.obs["cl_id"].nunique()
    found = [{only.descriptions[i].text for i in ids} for ids in only.ids]
    assert ("odd cells" in found[0]) == (types == 1)  # a name that several types share names none of them


def test_a_text_shared_by_two_types_is_left_out(tmp_path, profiles):
    obo = tmp_path / "tiny.obo"
    terms = "".join(
        f'\n[Term]\nid: {cl_id}\nname: {name}\nsynonym: "lymph cell" EXACT []\nsynonym: "{name}s" EXACT []\n'
        for cl_id, name in [("CL:0000236", "B cell"), ("CL:0000084", "T cell")]
    )
    tissues = "".join(f"\n[Term]\nid: {i}\nname: {i}\n" for i in ("UBERON:0000178", "UBERON:0002048"))
    obo.write_text(f"format-version: 1.2\nontology: tiny\n{terms}{tissues}")
    texts = profile_texts(profiles, Ontology.from_file(obo))
    written = [description.text for description in texts.descriptions]
    assert "cell type: b cells; " in written
    assert not any("lymph cell" in text for text in written)


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        pytest.param({"full": 1.0, "rumour": 0.1}, "Unknown kind of text 'rumour'", id="unknown"),
        pytest.param({"full": 0.0}, "'full' has to be above 0", id="no_full"),
        pytest.param({"full": 1.0, "own": -0.1}, "none may be negative", id="negative"),
    ],
)
def test_refused_shares(profiles, shares, message):
    with pytest.raises(ValueError, match=message):
        profile_texts(profiles, Ontology.cellxgene(), shares=shares)
