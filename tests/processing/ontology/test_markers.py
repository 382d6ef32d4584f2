"""Markers and their levels, in every way that papers typeset them."""

import pytest

from langcell.processing.ontology.markers import take_markers
from langcell.processing.ontology.typeset import plain_signs


@pytest.mark.parametrize(
    ("name", "markers"),
    [
        pytest.param("CD14-CD16+", "cd14- cd16+", id="minus before a marker"),
        pytest.param("CD14−CD16+", "cd14- cd16+", id="U+2212"),
        pytest.param("CD14–CD16+", "cd14- cd16+", id="en dash"),
        pytest.param("CD14⁻CD16⁺", "cd14- cd16+", id="superscripts"),
        pytest.param("CD14<sup>-</sup>CD16<sup>+</sup>", "cd14- cd16+", id="HTML"),
        pytest.param("CD14$^{-}$CD16$^{+}$", "cd14- cd16+", id="TeX"),
        pytest.param("CD14(-)CD16(+)", "cd14- cd16+", id="PubMed"),
        pytest.param("CD4+/CD8-", "cd4+ cd8-", id="slash"),
        pytest.param("CD3-/CD19+", "cd19+ cd3-", id="minus and slash"),
        pytest.param("IgD-CD27+", "cd27+ igd-", id="immunoglobulin"),
        pytest.param("CD4neg CD8pos", "cd4- cd8+", id="words"),
        pytest.param("CD56bright CD16dim", "cd16lo cd56hi", id="bright and dim"),
        pytest.param("CD14loCD16hi", "cd14lo cd16hi", id="run together"),
        pytest.param("CD56ᵇʳⁱᵍʰᵗ", "cd56hi", id="superscript letters"),
        pytest.param("CD14int", "cd14int", id="intermediate"),
        pytest.param("CD14+CD16++", "cd14lo cd16+", id="one plus beside two"),
        pytest.param("CD14++", "cd14+", id="two pluses alone"),
        pytest.param("CD16+/-", "", id="both"),
        pytest.param("CD4-T", "cd4+", id="a hyphen"),
        pytest.param("CD4-positive, CXCR3-negative", "cd4+ cxcr3-", id="spelled"),
        pytest.param("FCGR3A+", "cd16+", id="gene"),
    ],
)
def test_markers_are_found_with_their_levels(name, markers):
    assert " ".join(sorted(take_markers(plain_signs(name).casefold())[0])) == markers
