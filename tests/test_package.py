"""What is published: every file of the rooms, and versions that say the same everywhere."""

import fnmatch
import os
import re
import runpy
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest
from places import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LINKS = ROOT / ".src" / "langcell"
# What comes with scanpy, jinja2, dask[distributed] and mcp.
PARTS_OF_OTHERS = {"umap", "pynndescent", "markupsafe", "distributed", "anyio", "pydantic"}
# Of the rooms, what is for whoever works on langcell.
NOT_PUBLISHED = {"training/EXPERIMENTS.md", "training/SCALING.md"}


def test_every_file_of_a_room_is_in_the_package() -> None:
    patterns = PROJECT["tool"]["setuptools"]["package-data"]
    left_out = []
    for link in LINKS.iterdir():
        for path in [link] if link.is_file() else link.rglob("*"):
            inside = path.relative_to(LINKS)
            if (
                path.suffix == ".py"
                or "__pycache__" in path.parts
                or path.is_dir()
                or inside.as_posix() in NOT_PUBLISHED
            ):
                continue
            published = any(
                fnmatch.fnmatch(inside.as_posix(), "/".join([*package.split(".")[1:], pattern]))
                for package, globs in patterns.items()
                for pattern in globs
            )
            if not published:
                left_out.append(inside.as_posix())
    assert not left_out, "name them under [tool.setuptools.package-data]"


def test_every_library_that_is_imported_is_declared() -> None:
    lines = [*PROJECT["project"]["dependencies"]]
    for extra in PROJECT["project"]["optional-dependencies"].values():
        lines += extra
    declared = {re.split(r"[<>=\[ ]", line)[0].lower().replace("_", "-") for line in lines}
    found = packages_distributions()
    imports = re.compile(r"^\s*(?:import|from) ([a-zA-Z0-9_]+)(?:[\w.]*) ?(?:import .*|as \w+)?$", re.M)
    undeclared = set()
    for floor in ("modeling_langcell", "processing", "training", "hub_cards"):
        for path in (ROOT / floor).rglob("*.py"):
            for name in imports.findall(path.read_text()):
                names = {each.lower().replace("_", "-") for each in found.get(name, [])}
                if name in sys.stdlib_module_names or name == "langcell" or not names or names & declared:
                    continue
                undeclared.add(name)
    assert not undeclared - PARTS_OF_OTHERS


@pytest.mark.parametrize("name", ["constraints.txt", "constraints-3.12.txt"])
def test_constraints_meet_the_floors(name: str) -> None:
    from packaging.requirements import Requirement

    pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / name).read_text(), re.M))
    pins = {key.lower().replace("_", "-"): value for key, value in pins.items()}
    wanted = [Requirement(line) for line in PROJECT["project"]["dependencies"]]
    assert {"torch", "transformers", "anndata", "datasets"} <= set(pins)
    wrong = [
        str(requirement)
        for requirement in wanted
        if (pin := pins.get(requirement.name.lower().replace("_", "-"))) and not requirement.specifier.contains(pin)
    ]
    assert not wrong


@pytest.mark.parametrize(("name", "python"), [("constraints.txt", "3.11"), ("constraints-3.12.txt", "3.12")])
def test_the_lock_holds_what_the_constraints_say_and_no_address(name: str, python: str) -> None:
    from packaging.requirements import Requirement

    lines = (ROOT / "lock.txt").read_text().splitlines()
    assert not [line for line in lines if line[0] != "#" and re.search(r"://| @ |--|file:|^/", line)]
    here = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
    locked = [Requirement(line) for line in lines if line[0] != "#"]
    found = {each.name.lower(): str(each.specifier) for each in locked if not each.marker or each.marker.evaluate(here)}
    pins = re.findall(r"^([\w.-]+)(==\S+)$", (ROOT / name).read_text(), re.M)
    assert len(found) > 200
    other = {package: pin for package, pin in pins if found.get(package.lower().replace("_", "-"), pin) != pin}
    assert not other, "run nox -s lock"


def test_one_version_stands_everywhere() -> None:
    number = PROJECT["project"]["version"]
    assert version("langcell") == number
    assert f"version: {number}" in (ROOT / "CITATION.cff").read_text()


def test_the_changelog_dates_every_release_and_has_a_place_for_this_version() -> None:
    number = PROJECT["project"]["version"]
    first, *released = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    dated = [found[1] for title in released if (found := re.fullmatch(r"(\S+) \(\d{4}-\d{2}-\d{2}\)", title))]
    assert first == "Unreleased"
    assert len(dated) == len(released)
    # What is on the way to a release is called so: `pip` puts 0.2.0.dev0 before 0.2.0, and no user gets it unasked.
    assert number in dated or (number.endswith(".dev0") and number.removesuffix(".dev0") not in dated)


RELEASED = "## Unreleased\n\n## 0.2.0 (2026-12-24)\n\n- New.\n\n## 0.1.0 (2026-11-21)\n\n- Old.\n"


@pytest.mark.parametrize(
    ("tag", "changelog", "wrong"),
    [
        pytest.param("v0.2.0", RELEASED, [], id="what fits"),
        pytest.param("v0.2.0", RELEASED.replace("## Unreleased\n\n", ""), [], id="no section of what is unreleased"),
        pytest.param("v0.2.1", RELEASED, ["The tag is v0.2.1", "no section '## 0.2.1 "], id="another tag"),
        pytest.param("v0.2.0", RELEASED.replace("0.2.0", "0.2.0.1"), ["no section '## 0.2.0 "], id="a longer number"),
        pytest.param("v0.2.0", RELEASED.replace(" (2026-12-24)", ""), ["no section '## 0.2.0 "], id="no date"),
        pytest.param("v0.2.0", RELEASED.replace("- New.", ""), ["no section '## 0.2.0 "], id="nothing in the section"),
        pytest.param(
            "v0.2.0",
            RELEASED.replace("Unreleased\n", "Unreleased\n\n### For users\n\n- More.\n"),
            ["'## Unreleased' in CHANGELOG.md has 1 lines"],
            id="entries that are unreleased",
        ),
    ],
)
def test_a_tag_is_refused_that_does_not_fit_version_and_changelog(tag: str, changelog: str, wrong: list[str]) -> None:
    faults_of = runpy.run_path(str(ROOT / ".github" / "check_tag.py"))["faults_of"]
    faults = faults_of(tag, version="0.2.0", changelog=changelog)
    assert len(faults) == len(wrong)
    assert all(words in fault and "\n" not in fault for words, fault in zip(wrong, faults, strict=True))


def test_the_dry_run_refuses_a_tag_before_it_builds() -> None:
    command = ["bash", str(ROOT / ".github" / "release_dry_run.sh")]
    environment = {**os.environ, "PYTHON": sys.executable, "RELEASE_TAG": "v9.9.9"}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert result.returncode == 1
    assert "The tag is v9.9.9" in result.stderr
    assert "== tools" not in result.stdout


def test_the_scripts_of_a_release_can_be_read() -> None:
    subprocess.run(["bash", "-n", str(ROOT / ".github" / "release_dry_run.sh")], check=True)
    import yaml

    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())["jobs"]
    assert jobs["pypi"]["permissions"] == {"id-token": "write"}  # trusted publishing: no stored secret
    assert "secrets" not in str(jobs["pypi"])
    assert Path(ROOT / "noxfile.py").is_file()
