"""docs/compatibility.md names scripts and tests that exist."""

import ast
import os
import re

import pytest
from places import ROOT

PAGE = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
TESTS = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`(?: \(`(\w+)`\))?", PAGE)))
SCRIPTS = sorted((ROOT / "findings").glob("*.sh"))


@pytest.mark.parametrize(("path", "name", "method"), TESTS)
def test_every_guard_exists(path, name, method):
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert {word for word in (name, method) if word} <= names


def test_every_finding_is_on_the_page_and_every_source_is_a_file():
    named = set(re.findall(r"`findings/([\w-]+\.sh)`", PAGE))
    assert named == {path.name for path in SCRIPTS}


def test_every_behaviour_has_versions_a_source_and_a_guard():
    tables = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| ")]
    rows = [cells for cells in tables if len(cells) == 4 and cells[0] != "What happens"]
    assert len(rows) >= 38
    for what, seen, source, guard in rows:
        assert what.endswith(".")
        assert re.search(r"\d", seen), what
        assert source, what
        assert re.search(r"`tests/[\w/]+\.py", guard), what


def test_every_common_test_of_transformers_that_is_left_out_has_a_reason():
    table = (ROOT / "tests" / "matrix" / "common_tests" / "not_for_langcell.tsv").read_text(encoding="utf-8")
    head, *rows = (line.split("\t") for line in table.splitlines())
    assert head == ["test", "reason"]
    names = [name for name, reason in rows if re.fullmatch(r"\w+Test::test_\w+", name) and len(reason.split()) > 8]
    assert len(names) == len(rows)
    assert names == sorted(set(names))
    assert f"Each of the {len(names)} stands with its reason" in PAGE


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_finding_says_what_happens_pins_versions_and_leaves_nothing(path):
    text = path.read_text(encoding="utf-8")
    assert text.startswith("#!/usr/bin/env bash\n")
    assert os.access(path, os.X_OK)
    for words in ("# One would guess:", "# What happens:", "# Seen with:", "# Why a user would care:"):
        assert words in text
    assert "langcell" not in text.lower()
    assert "mktemp -d" in text
    assert "trap 'rm -rf \"$room\"' EXIT" in text
    packages = [word for line in re.findall(r"pip install (.*)", text) for word in line.split() if word[0] != "-"]
    assert packages
    assert all("==" in package for package in packages)
