from langcell.processing.labels.roots import root_note
from langcell.processing.ontology.terms import Ontology

LYMPHOCYTES = ["CL:0000236", "CL:0000084", "CL:0000623", "CL:0000624", "CL:0000625", "CL:0000815", "CL:0000786"]
OTHERS = [f"CL:{number:07d}" for number in (57, 115, 182, 540, 127, 128, 66, 136, 187, 192, 62, 138, 148, 169, 171)]


def test_a_root_says_what_it_covers_and_names_one_that_covers_many_more() -> None:
    ontology = Ontology.cellxgene()
    note = root_note("blood cell", among=["CL:0000232", "CL:0000233", *LYMPHOCYTES, *OTHERS], ontology=ontology)
    assert note.startswith("blood cell (CL:0000081) covers 2 of 24 types: erythrocyte, platelet.")
    assert "hematopoietic cell (CL:0000988) covers 9" in note


def test_a_root_of_a_whole_branch_needs_no_other() -> None:
    note = root_note("CL:0000542", among=[*LYMPHOCYTES, *OTHERS], ontology=Ontology.cellxgene())
    assert note.startswith("lymphocyte (CL:0000542) covers 7 of 22 types: B cell")
    assert "Others are named" not in note
