"""Uploads to the small Hub of the tests, by the true client in fresh processes."""

import json

import hub_server
import pytest
from hub_processes import run_code

UPLOAD = """
import json, sys
from pathlib import Path
from langcell.hub_cards.cards.repository_kinds import KINDS
from langcell.hub_cards.publishing.uploading import Upload, upload_files

kinds = {kind.name: kind for kind in KINDS}
outcomes = []
for asked in map(json.loads, sys.argv[1:]):
    folder = Path(asked.pop("folder"))
    files = asked.pop("files", None) or sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))
    upload = Upload(folder, asked.pop("repo_id"), kinds[asked.pop("kind")], files, asked.pop("replaced", {}))
    try:
        published = upload_files(upload, progress=False, **asked)
        outcomes.append([published.address, published.commit, published.deleted])
    except ValueError as error:
        outcomes.append(str(error))
print(json.dumps(outcomes))
"""
CARD = "---\nlicense: mit\n---\n# A card\n"


@pytest.fixture
def hub():
    with hub_server.running() as hub:
        yield hub


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "model"
    (folder / "more").mkdir(parents=True)
    for name, content in {"README.md": CARD, "config.json": "{}", "model.safetensors": "w" * 999}.items():
        (folder / name).write_text(content)
    (folder / "more" / "notes [1].md").write_text("notes")
    return folder


def upload(hub, home, *asked, **options):
    return run_code(hub, home, UPLOAD, *map(json.dumps, asked), **options)


def test_one_commit_a_tag_and_what_is_stale(hub, tmp_path, folder):
    first = {"folder": str(folder), "repo_id": "org/m", "kind": "model", "private": True, "tag": "v1"}
    second = {**first, "tag": "v2", "files": ["README.md", "config.json"], "replaced": {"README.md": CARD + "more"}}
    (address, commit, deleted), same_tag, (_, newer, stale) = upload(hub, tmp_path, first, first, second)
    repository = hub.repository("org/m")
    assert address == f"{hub.endpoint}/org/m"
    assert repository.private
    assert repository.tags == {"v1": commit, "v2": newer}
    assert list(repository.messages.values()) == ["initial commit", "Upload of 4 files", "Upload of 2 files"]
    assert deleted == []
    for name in ("config.json", "model.safetensors", "more/notes [1].md"):
        assert repository.commits[commit][name].content == (folder / name).read_bytes()
    assert same_tag == "org/m has the tag v1 already; give another one, or delete it on the Hub."
    # Weights of the earlier upload would be loaded with the new configuration; notes harm nobody.
    assert stale == ["model.safetensors"]
    assert set(repository.files) == {".gitattributes", "README.md", "config.json", "more/notes [1].md"}
    assert repository.files["README.md"].content == (CARD + "more").encode()


def test_what_the_hub_gives_back_is_compared(hub, tmp_path, folder):
    asked = {"folder": str(folder), "kind": "model", "tag": "v1"}
    hub.damage("config.json", lambda content: b"[]")
    hub.damage("model.safetensors", lambda content: b"v" + content[1:])
    (changed,) = upload(hub, tmp_path, {**asked, "repo_id": "org/changed"})
    assert "gives back other contents than were sent for config.json, model.safetensors: do not use this" in changed
    assert hub.repository("org/changed").tags == {}
    hub.damage("model.safetensors", lambda content: content[:-1])
    (cut,) = upload(hub, tmp_path, {**asked, "repo_id": "org/cut"})
    assert "was uploaded (commit " in cut
    assert "but does not download: Consistency check failed" in cut
    assert "\n" not in cut


def test_what_the_hub_refuses_is_one_line(hub, tmp_path, folder):
    asked = {"folder": str(folder), "repo_id": "org/m", "kind": "model"}
    (no_token,) = upload(hub, tmp_path, asked, token=None)
    assert no_token.startswith("org/m was not pushed: Client error '401 Unauthorized'")
    assert "hf auth login" in no_token
    (wrong_card,) = upload(hub, tmp_path, {**asked, "replaced": {"README.md": "---\n- a list\n---\n"}})
    assert "metadata" in wrong_card
    assert all("\n" not in message for message in (no_token, wrong_card))
    assert "model.safetensors" not in hub.repository("org/m").files
