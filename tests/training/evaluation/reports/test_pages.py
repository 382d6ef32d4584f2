import json

import pytest
from matplotlib.figure import Figure

from langcell.training.evaluation.reports.pages import Chapter, Section, Table, html_page, page

TABLE = Table(("type", "read as", "F1"), [("T|cell", "a\nb", "0.5"), ("<b>", "-", "0.7")], 2, frozenset({(1, 2)}))


def test_a_page_has_headings_text_tables_and_pictures():
    text = page([Section("Task", "Text."), Section("Types", table=TABLE)], ["task-curve.png"], level=2)
    assert text == (
        "## Task\n\nText.\n\n### Types\n\n| type | read as | F1 |\n| --- | --- | ---: |\n| T\\|cell | a b | 0.5 |\n"
        "| <b> | - | **0.7** |\n\n![task curve](task-curve.png)\n"
    )


@pytest.fixture
def picture(tmp_path):
    figure = Figure()
    figure.add_subplot().plot([0, 1])
    figure.savefig(path := tmp_path / "task-curve.png")
    return path


def test_the_html_page_has_its_pictures_in_it_and_asks_for_nothing(picture):
    html = html_page("All", [Section("All", "x < y")], [Chapter("task", [Section("Task", table=TABLE)], [picture])])
    picture.unlink()
    assert '<img src="data:image/png;base64,iVBOR' in html
    assert 'alt="task curve"' in html
    assert '<a href="#task">' in html
    assert '<section id="task">' in html
    for asking in ("http:", "https:", "<script", "<link", "@import", "url(", 'src="task'):
        assert asking not in html


def test_the_html_page_shows_words_left_the_best_bold_and_text_as_text(picture):
    html = html_page("All", [Section("All", "x < y")], [Chapter("task", [Section("Task", table=TABLE)], [picture])])
    assert '<td class="words">&lt;b&gt;</td><td class="words">-</td><td><strong>0.7</strong></td>' in html
    assert "x &lt; y" in html


@pytest.mark.parametrize(
    "section", [pytest.param(Section("A", "text", TABLE), id="table"), pytest.param(Section("", "text"), id="text")]
)
def test_sections_come_back_as_they_were(section):
    stored = json.loads(json.dumps(section.to_dict()))
    back = Section.from_dict(stored)
    assert page([back]) == page([section])
    assert json.loads(json.dumps(back.to_dict())) == stored
