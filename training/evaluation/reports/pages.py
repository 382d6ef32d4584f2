"""Pages of a report: sections with tables, as Markdown and as one HTML file that needs nothing beside it."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
        head: names of the columns.
        rows: each as long as `head`.
        left: that many columns, from the first, are words and stand to the left; the others are numbers.
        bold: cells in bold, as (row, column).
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: int = 1
    bold: frozenset[tuple[int, int]] = frozenset()

    def markdown(self) -> str:
        """Return the table in Markdown.

        >>> print(Table(("method", "F1"), [("a|b", "0.5")], bold=frozenset({(0, 1)})).markdown())
        | method | F1 |
        | --- | ---: |
        | a\\|b | **0.5** |
        """
        rule = [*["---"] * self.left, *["---:"] * (len(self.head) - self.left)]
        rows = [
            [f"**{cell}**" if (i, j) in self.bold else cell for j, cell in enumerate(row)]
            for i, row in enumerate(_escaped(row) for row in self.rows)
        ]
        return "\n".join("| " + " | ".join(row) + " |" for row in (_escaped(self.head), rule, *rows))


@dataclass(frozen=True)
class Section:
    """A part of a page: heading ("" for none), a paragraph and a table, each where there is one."""

    title: str
    text: str = ""
    table: Table | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the section as JSON has it."""
        if self.table is None:
            return {"title": self.title, "text": self.text, "table": None}
        table = {"head": self.table.head, "rows": self.table.rows, "left": self.table.left}
        return {"title": self.title, "text": self.text, "table": table | {"bold": sorted(self.table.bold)}}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "Section":
        """Return what `to_dict` returned, maybe by way of JSON."""
        table = stored["table"]
        if table is not None:
            bold = frozenset((row, column) for row, column in table["bold"])
            table = Table(table["head"], table["rows"], table["left"], bold)
        return cls(stored["title"], stored["text"], table)


@dataclass(frozen=True)
class Chapter:
    """A task in the page of all.

    Attributes:
        name: name of the task; what links lead to.
        sections: its page.
        pictures: its PNG files.
    """

    name: str
    sections: Sequence[Section]
    pictures: Sequence[Path]


def page(sections: Sequence[Section], pictures: Sequence[str] = (), *, level: int = 1) -> str:
    """Return the sections as Markdown, the first under a heading of `level` and the others one below, then the
    pictures."""
    parts = []
    for i, section in enumerate(sections):
        heading = f"{'#' * (level + (i > 0))} {section.title}" if section.title else ""
        parts += [heading, section.text, section.table.markdown() if section.table else ""]
    parts += [f"![{_alternative(name)}]({name})" for name in pictures]
    return "\n\n".join(filter(None, parts)) + "\n"


def html_page(title: str, overview: Sequence[Section], chapters: Sequence[Chapter]) -> str:
    """Return one HTML file with the pictures in it: it asks for nothing, of this machine or of another.

    Args:
        title: title of the page.
        overview: what stands first.
        chapters: the tasks, in order.

    Raises:
        FileNotFoundError: a picture is not there.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,
    )
    environment.filters |= {"data_uri": _data_uri, "alternative": _alternative}
    return environment.get_template("report.html.jinja").render(title=title, overview=overview, chapters=chapters)


def _escaped(row: Sequence[str]) -> list[str]:
    """Cells without what would end them."""
    return [" ".join(cell.split()).replace("|", "\\|") for cell in row]


def _alternative(picture: str | Path) -> str:
    """Return what stands for a picture where it cannot be seen."""
    return Path(picture).stem.replace("-", " ")


def _data_uri(picture: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode()}"
