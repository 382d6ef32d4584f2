"""The versions that users have, each in an environment of its own: `make matrix`, or `nox -s SESSION` for one row.

nox and not tox: the rows are lists of this file, and a session can install torch before it asks for the rest. uv makes
the environments: it links packages from its cache, so that one copy of torch serves all of them.

Every row adds a line of JSON to `matrix.jsonl` in the folder that MATRIX_RESULTS names (default: matrix/).
"""

import json
import os
import time
from pathlib import Path
from typing import Any

import nox
from nox.command import CommandFailed

ROOT = Path(__file__).parent
CASES = ROOT / "tests" / "matrix"
MODEL = ROOT / "hub_cards" / "langcell-mini"
TORCH = "torch==2.13.0"
PYTHONS = ("3.11", "3.12", "3.13")
TRANSFORMERS = ("5.5.0", "5.9.0", "5.12.0", "5.16.0", "5.20.0", "5.23.0", "5.24.0", "newest")
PEFT = ("0.18.0", "newest")
RESOLUTIONS = ("lowest-direct", "highest")
# Of which the common tests are run: what constraints.txt pins, and the newest.
COMMON = ("5.23.0", "newest")
# What reads, ranks and writes cells. SOMA has no wheel for every Python here, and has its own row in the tests of CI.
DATA_LAYER = ("cells", "containers", "files", "gene_naming", "shards", "sources/test_open_source.py", "tokenization")
# How `annotate_numbers.py` and `hub_numbers.py` end where numbers differ as another processor rounds them.
BY_ROUNDING = 3
# What CI has time for.
FAST = {"transformers": "5.5.0", "resolution": "lowest-direct"}

nox.options.default_venv_backend = "uv"
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = True


def _environment() -> dict[str, str]:
    """What the rows run with: no network, one thread, and for uv the folders of wheels that pip knows."""
    links = os.environ.get("UV_FIND_LINKS") or os.environ.get("PIP_FIND_LINKS", "")
    return {
        "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1",
        **({"UV_FIND_LINKS": links} if links else {}), "UV_HTTP_TIMEOUT": "600",
    }  # fmt: skip


def _install(session: nox.Session, *packages: str, resolution: str = "highest") -> None:
    """Install torch by itself, and then the rest without another torch: a range may admit a build of gigabytes."""
    session.env.update(_environment())
    session.install(TORCH)
    build = session.run_install(
        "python", "-c", "import importlib.metadata as m; print(m.version('torch'))", silent=True
    )
    session.install(f"torch=={str(build).strip()}", "--resolution", resolution, *packages)


def _source_archive(session: nox.Session, room: Path) -> Path:
    """Fetch the source archive of the transformers that is installed, which holds the common tests; no wheel does."""
    ask = "import importlib.metadata as m; print(m.version('transformers'))"
    found = str(session.run("python", "-c", ask, silent=True)).strip()
    archive = room / f"transformers-{found}.tar.gz"
    if not archive.is_file():
        what = ("--no-deps", "--no-binary", "transformers", f"transformers=={found}")
        session.run("python", "-m", "pip", "download", "-q", "-d", str(room), *what)
    return archive


def _run(session: nox.Session, row: dict, started: float, *command: str, **how: Any) -> None:
    """Run what a row measures, and note what it says; that it failed, too."""
    try:
        output = session.run(*command, silent=True, **how)
    except CommandFailed:
        _note(session, {**row, "failed": True}, started, None)
        raise
    _note(session, row, started, str(output))


def _note(session: nox.Session, row: dict, started: float, output: str | None) -> None:
    folder = ROOT / os.environ.get("MATRIX_RESULTS", "matrix")
    folder.mkdir(exist_ok=True)
    told = (output or "").strip().splitlines() or [""]
    measured = json.loads(told[-1]) if told[-1].startswith("{") else {"said": told[-1]}
    with (folder / "matrix.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({**row, **measured, "seconds": round(time.time() - started)}) + "\n")
    session.log(told[-1])


@nox.session(python="3.11")
@nox.parametrize("peft", PEFT)
@nox.parametrize("transformers", TRANSFORMERS)
def hub(session: nox.Session, transformers: str, peft: str) -> None:
    """The numbers of the bundled Hub folder, in an environment without langcell."""
    wanted = [name if version == "newest" else f"{name}=={version}"
              for name, version in (("transformers", transformers), ("peft", peft))]  # fmt: skip
    _install(session, *wanted, "numpy", "--upgrade-package", "transformers", "--upgrade-package", "peft")
    started, cache = time.time(), session.create_tmp()
    session.env.update({"HF_HOME": cache, "HF_MODULES_CACHE": f"{cache}/modules"})
    script = [str(CASES / "hub_numbers.py"), str(MODEL), str(CASES / "hub_numbers.json")]
    row = {"row": "hub", "transformers": transformers, "peft": peft}
    _run(session, row, started, "python", "-W", "ignore", *script, stderr=None)


@nox.session(python=list(PYTHONS))
@nox.parametrize("resolution", RESOLUTIONS)
def stack(session: nox.Session, resolution: str) -> None:
    """The tests of the data layer, and annotate from file to file, with the lowest and the newest of everything.

    `-- tests` leaves annotate out, and `-- annotate` the tests.
    """
    _install(session, ".", "pytest>=8", "pytest-timeout>=2.3", "hypothesis>=6.100", resolution=resolution)
    row = {"row": "stack", "resolution": resolution}
    started = time.time()
    if "tests" not in session.posargs:
        _annotate(session, row, started)
    if "annotate" in session.posargs:
        return
    # Of an old library with a new one warnings are to be expected; with the newest of all each one is an error.
    warnings = ["-W", "default"] if resolution == "lowest-direct" else []
    tests = [f"tests/processing/{name}" for name in DATA_LAYER]
    command = ("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", *warnings, *tests)
    _run(session, {**row, "tests": True}, started, *command)


@nox.session(python="3.11")
@nox.parametrize("transformers", COMMON)
def common(session: nox.Session, transformers: str) -> None:
    """transformers' own common tests on the classes of langcell; TRANSFORMERS_SOURCE names another source of them."""
    wanted = "transformers" if transformers == "newest" else f"transformers=={transformers}"
    _install(session, ".", wanted, "pytest>=8", "parameterized>=0.9", "pip")
    started, room = time.time(), Path(session.create_tmp()).resolve()
    named = os.environ.get("TRANSFORMERS_SOURCE")
    source = Path(named).resolve() if named else _source_archive(session, room)
    with session.chdir(room):
        row = {"row": "common", "transformers": transformers}
        _run(session, row, started, "python", str(CASES / "common_tests" / "run.py"), str(source), "common")


@nox.session(venv_backend="none")
def lock(session: nox.Session) -> None:
    """Write lock.txt: what the constraints, the extras and all that these need resolve to, for all Pythons."""
    pins = []
    for name, marker in (("constraints.txt", "<"), ("constraints-3.12.txt", ">=")):
        lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
        pins += [f"{line} ; python_version {marker} '3.12'" for line in lines if "==" in line]
    both = Path(session.create_tmp()) / "both.txt"
    both.write_text("\n".join(pins) + "\n", encoding="utf-8")
    # No address of an index and no folder of this machine: the file serves any of them.
    plain = ("--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links", "--no-config")
    command = ("uv", "pip", "compile", "pyproject.toml", "--all-extras", "--universal", "--python-version", "3.11")
    # Of torch on 3.11 a folder of wheels may hold a build that no index has.
    environment = {"UV_FIND_LINKS": "", "PIP_FIND_LINKS": ""}
    found = session.run(*command, "-c", str(both), *plain, "-q", silent=True, stderr=None, env=environment)
    head = "# `nox -s lock` writes it. Limits, not wishes: uv pip install -c lock.txt -e . (or pip)\n"
    (ROOT / "lock.txt").write_text(head + str(found), encoding="utf-8")


@nox.session(python="3.11")
def fast(session: nox.Session) -> None:
    """Two rows for CI: the oldest transformers on the Hub folder, and annotate with the lowest of everything.

    Another processor rounds otherwise, which is said and does not fail these rows; other numbers than that do.
    """
    _install(session, ".", resolution=FAST["resolution"])
    started = time.time()
    how = {"success_codes": [0, BY_ROUNDING]}
    _annotate(session, {"row": "stack", "resolution": FAST["resolution"]}, started, **how)
    script = [str(CASES / "hub_numbers.py"), str(MODEL), str(CASES / "hub_numbers.json")]
    session.env["HF_MODULES_CACHE"] = f"{session.create_tmp()}/modules"
    row = {"row": "hub", "transformers": FAST["transformers"], "peft": "0.18.0"}
    _run(session, row, started, "python", "-W", "ignore", *script, stderr=None, **how)


def _annotate(session: nox.Session, row: dict, started: float, **how: Any) -> None:
    script = [str(CASES / "annotate_numbers.py"), str(CASES / "annotate_numbers.json")]
    # From another folder: what is imported shall be what was installed.
    with session.chdir(session.create_tmp()):
        _run(session, row, started, "python", *script, stderr=None, **how)
