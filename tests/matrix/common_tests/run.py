"""transformers' own common tests on the classes of langcell; run as a script in an environment that has both.

    python run.py SOURCE FOLDER

SOURCE is a source archive of transformers (which PyPI has for each version) or a checkout of its repository, of the
version that is installed. The tests are laid out in FOLDER, which is made. Every test that fails has to stand in
`not_for_langcell.tsv` with a reason, and whatever stands there has to fail. It prints the counts as a line of JSON.
"""

import json
import os
import shutil
import sys
import tarfile
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
HELPERS = HERE.parents[1] / "helpers"
# Modules that the common tests import and a source archive lacks. What they test is no part of langcell: generation of
# text, exports that transformers does itself, and files that transformers' own CI keeps at hand.
STAND_INS = {
    "tests/generation/test_utils.py": "class GenerationTesterMixin:\n    pass\n",
    "tests/exporters/test_export.py": "class ExportTesterMixin:\n    pass\n",
    "tests/utils/test_configuration_utils.py": "config_common_kwargs = {}\n",
    "utils/fetch_hub_objects_for_ci.py": "def url_to_local_path(url, *args, **options):\n    return url\n",
}
PLACES = {"models.py": "test_modeling_langcell.py", "processors.py": "test_processing_langcell.py"}
FEWEST = 200  # Fewer tests that ran would mean that most were not found.


def lay_out(source: Path, folder: Path) -> None:
    """Put the common tests of a source archive or a checkout into folder/tests, with those of langcell beside them.

    Raises:
        FileNotFoundError: the source has no common tests.
    """
    tests = folder / "tests"
    shutil.rmtree(tests, ignore_errors=True)
    if source.is_dir():
        shutil.copytree(source / "tests", tests, ignore=lambda place, names: _rooms(Path(place), names, source))
    else:
        with tarfile.open(source) as archive:
            for member in archive.getmembers():
                parts = Path(member.name).parts
                if parts[1:2] == ("tests",) and len(parts) == 3 and member.isfile():
                    member.name = parts[2]
                    archive.extract(member, tests, filter="data")
    if not (tests / "test_modeling_common.py").is_file():
        raise FileNotFoundError(f"{source} has no tests/test_modeling_common.py; give a source archive or a checkout.")
    for name, text in STAND_INS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    room = tests / "models" / "langcell"
    room.mkdir(parents=True)
    for name, place in PLACES.items():
        shutil.copy(HERE / name, room / place)
    for each in [tests, *[path for path in tests.rglob("*") if path.is_dir()]]:
        (each / "__init__.py").touch()


def _rooms(place: Path, names: list[str], source: Path) -> set[str]:
    """Name what is not copied of a checkout: the tests of single models and the rest that stands in folders."""
    return {name for name in names if (place / name).is_dir()} if place == source / "tests" else set()


class Outcomes:
    """Collects how each test ended; a plugin of pytest."""

    def __init__(self) -> None:
        self.of: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the worst of set-up, call and end of a test."""
        name = "::".join(report.nodeid.split("::")[1:])
        if report.failed or name not in self.of or (self.of[name] == "passed" and report.skipped):
            self.of[name] = report.outcome


def listed() -> dict[str, str]:
    """The tests that do not apply, each with the reason."""
    lines = (HERE / "not_for_langcell.tsv").read_text(encoding="utf-8").splitlines()[1:]
    return dict(line.split("\t") for line in lines)


def main(source: str, folder: str) -> int:
    """Run the tests; 0 where those that fail are those of the list."""
    room = Path(folder).resolve()
    lay_out(Path(source).resolve(), room)
    os.chdir(room)
    sys.path[:0] = [str(room), str(HELPERS)]
    outcomes = Outcomes()
    options = ["-q", "-p", "no:cacheprovider", "--tb=short", "-W", "ignore", "--rootdir", str(room), "-c", os.devnull]
    pytest.main([*options, "tests/models/langcell"], plugins=[outcomes])
    failed = {name for name, outcome in outcomes.of.items() if outcome == "failed"}
    reasons = listed()
    counts = Counter(outcomes.of.values())
    found = {
        "versions": {name: version(name) for name in ("torch", "transformers")},
        **{name: counts[name] for name in ("passed", "skipped", "failed")},
        "fail and are not listed": sorted(failed - set(reasons)),
        "are listed and do not fail": sorted(set(reasons) - failed),
    }
    print(json.dumps(found))
    agreed = failed == set(reasons) and counts["passed"] >= FEWEST
    return 0 if agreed else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
