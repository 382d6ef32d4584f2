#!/usr/bin/env bash
# Everything that a release does but the uploads: build, check, install from a local index into an empty environment, run.
#
#   bash .github/release_dry_run.sh        (PYTHON=python3.12 for another Python, RELEASE_TAG=v0.2.0 to check a tag)
#
# Wheel and sdist are left in dist/.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON="${PYTHON:-python3}"
work="$(mktemp -d)"
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$work"' EXIT
say() { printf '\n== %s\n' "$*"; }

# First, because it takes no time: a tag that is refused builds nothing.
say "version"
version="$("$PYTHON" - <<'PY'
import tomllib
print(tomllib.load(open("pyproject.toml", "rb"))["project"]["version"])
PY
)"
if [ -n "${RELEASE_TAG:-}" ]; then
    "$PYTHON" .github/check_tag.py "$RELEASE_TAG"
fi
echo "langcell $version"

say "tools"
"$PYTHON" -m venv "$work/tools"
"$work/tools/bin/pip" install -qq build twine pypiserver

say "build: the sdist from a copy without git, the wheel from the sdist"
rm -rf dist && mkdir dist "$work/tree"
tar --exclude=./.git --exclude='./.venv*' --exclude=./.nox --exclude=./build --exclude=./dist -cf - . | tar -xf - -C "$work/tree"
(cd "$work/tree" && "$work/tools/bin/python" -m build -o "$work/dist" . >"$work/build.log" 2>&1) || { tail -20 "$work/build.log"; exit 1; }
cp "$work"/dist/* dist/
"$work/tools/bin/twine" check --strict dist/*

say "contents"
"$work/tools/bin/python" - dist <<'PY'
import stat, sys, tarfile, zipfile
from pathlib import Path

(wheel,), (sdist,) = (sorted(Path(sys.argv[1]).glob(pattern)) for pattern in ("*.whl", "*.tar.gz"))
megabytes = wheel.stat().st_size / 1e6
files = zipfile.ZipFile(wheel).infolist()
names = {file.filename for file in files}
wanted = (
    "langcell/py.typed", "langcell/hub_cards/langcell-mini/model.safetensors", "langcell/training/configs/stage1-mini.yaml",
    "langcell/hub_cards/langcell-mini/modeling_langcell.py", "langcell/reporting/page.html.jinja",
    "langcell/hub_cards/cards/model_card.md", "langcell/processing/labels/field_names.tsv",
)
missing = [name for name in wanted if name not in names]
links = [file.filename for file in files if stat.S_ISLNK(file.external_attr >> 16)]
links += [member.name for member in tarfile.open(sdist) if member.issym() or member.islnk()]
print(f"{wheel.name}: {megabytes:.1f} MB, {len(names)} files; {sdist.name}: {sdist.stat().st_size / 1e6:.1f} MB")
assert megabytes < 45, "the wheel is larger than 45 MB"
assert not missing, f"the wheel lacks {missing}"
assert not links, f"these are links: {links}"
PY

say "install from a local index into an empty environment"
"$work/tools/bin/pypi-server" run -i 127.0.0.1 -p 8471 -P . -a . "$work/dist" >"$work/server.log" 2>&1 &
server=$!
sleep 3
"$PYTHON" -m venv "$work/user"
# torch by itself: with no version it may be a build of several gigabytes.
"$work/user/bin/pip" install -qq -c constraints.txt torch
"$work/user/bin/pip" install -qq --extra-index-url http://127.0.0.1:8471/simple --trusted-host 127.0.0.1 "langcell==$version"

say "run, from another folder"
cd "$work"
export HF_HUB_OFFLINE=1
"$work/user/bin/langcell" --version
"$work/user/bin/langcell" doctor
"$work/user/bin/langcell" demo -o "$work/demo"
test -s "$work/demo/pbmc_named.h5ad" && test -s "$work/demo/cells.png"
folder="$("$work/user/bin/python" -c "import langcell.loading as l; print(l.bundled_model_folder())")"
"$work/user/bin/langcell" publish "$folder" org/langcell-mini --dry-run
say "dry run done: dist/ holds what would be uploaded"
