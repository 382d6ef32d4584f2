from langcell.reporting.styles import PALETTE, shortened, styles_of


def test_more_labels_than_colours_look_different_on_the_page_and_on_paper():
    labels = [f"label {i}" for i in range(140)]
    styles = styles_of(labels).values()
    assert len({(style.colour, style.symbol) for style in styles}) == 140
    assert len({(style.colour, style.marker) for style in styles}) == 140
    assert len({(style.colour, style.pattern) for style in styles}) == 140
    assert {style.symbol for style in list(styles)[: len(PALETTE)]} == {"circle"}


def test_what_stands_for_no_label_is_grey_and_takes_no_colour():
    styles = styles_of(["unknown", "B cell", "unassigned"])
    assert styles["unknown"] == styles["unassigned"] != styles["B cell"]
    assert styles["B cell"] == styles_of(["B cell"])["B cell"]


def test_long_names_keep_both_ends():
    assert shortened("naive thymus-derived CD4-positive, alpha-beta T cell") == "naive thymus-derived CD4…a-beta T cell"
    assert shortened("a <b>") == "a &lt;b&gt;"
