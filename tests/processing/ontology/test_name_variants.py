import pytest

from langcell.processing.ontology.name_variants import clean_name_variant, name_variants


@pytest.mark.parametrize(
    ("name", "others"),
    [
        pytest.param("B cell", {"b", "b cells"}, id="plural"),
        pytest.param("natural killer cell", {"nk", "nk cell", "nk cells"}, id="short_form"),
        pytest.param("CD8-positive, alpha-beta T cell", {"cd8+ t cell", "cd8+ t", "cd8+ t cells"}, id="marker"),
        pytest.param(
            "CD4-positive, alpha-beta memory T cell", {"memory cd4+ t", "cd4+ memory t cells"}, id="marker_inside"
        ),
        pytest.param(
            "naive thymus-derived CD4-positive, alpha-beta T cell", {"naive cd4+ t", "cd4+ naive t"}, id="left_out"
        ),
        pytest.param("CD14-low, CD16-positive monocyte", {"cd14lo cd16+ monocyte"}, id="two_markers"),
        pytest.param("endothelial cell of hepatic sinusoid", {"endothelial cell of hepatic sinusoids"}, id="place"),
    ],
)
def test_written_names(name, others):
    found = name_variants(name)
    assert others <= set(found)
    assert name.lower() not in found
    assert found == sorted(set(found))
    assert all(text == text.lower().strip() and "  " not in text for text in found)


@pytest.mark.parametrize(
    ("given", "cleaned"),
    [
        pytest.param("Hep.3", "hep", id="running_number"),
        pytest.param("CD14+.monocyte.type.1", "cd14+ monocyte", id="type_number"),
        pytest.param("L2.3.IT", "l2 3 it", id="number_inside"),
        pytest.param("Smooth_muscle_cells", "smooth muscle cells", id="underscores"),
        pytest.param("12", "12", id="number_alone"),
    ],
)
def test_clean_written_name(given, cleaned):
    assert clean_name_variant(given) == cleaned
