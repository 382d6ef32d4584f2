"""`AutoModel.from_pretrained("org/langcell", trust_remote_code=True)` by the true client, in fresh processes.

The Hub is the one of `hub_server.py`, on loopback; it holds two commits whose weights and code differ, v1 and main.
"""

import hub_server
import pytest
import tiny
from hub_processes import load_as_user

NAME = "org/langcell"


def _commit(hub, folder, *, seed, mark):
    """Commit the tiny model of a seed, with code that says which it is."""
    tiny.save_tiny_folder(folder)
    tiny.tiny_model(seed=seed).save_pretrained(folder)
    with (folder / "modeling_langcell.py").open("a") as code:
        code.write(f"\n\nMARK = {mark}\n")
    return hub.put(NAME, folder)


def _sum_of_weights(seed):
    from transformers import AutoModel

    model = AutoModel.from_config(tiny.tiny_config())
    model.load_state_dict(tiny.tiny_model(seed=seed).state_dict(), strict=False)
    return sum(float(weight.detach().double().abs().sum()) for weight in model.parameters())


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with hub_server.running() as hub:
        hub.repository_commits = [
            _commit(hub, tmp_path_factory.mktemp("commits") / "langcell", seed=seed, mark=seed + 1) for seed in (0, 1)
        ]
        hub.repository(NAME).tags["v1"] = hub.repository_commits[0]
        yield hub


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def loaded(hub, home):
    """By name; by a pinned revision; newest weights with pinned code; and pinned by commit id."""
    asked = [{}, {"revision": "v1"}, {"code_revision": "v1"}, {"revision": hub.repository_commits[0]}]
    return load_as_user(hub, home, *({"name": NAME, **options} for options in asked))


def test_it_loads_by_name_with_the_code_of_the_repository(loaded):
    by_name = loaded[0]
    assert by_name["class"] == "LangCellModel"
    assert by_name["is_remote_code"]
    assert by_name["mark"] == 2
    assert by_name["weights"] == pytest.approx(_sum_of_weights(1), rel=1e-6)


def test_a_pinned_revision_has_its_weights_and_its_code(loaded):
    for pinned in (loaded[1], loaded[3]):
        assert pinned["mark"] == 1
        assert pinned["weights"] == pytest.approx(_sum_of_weights(0), rel=1e-6)
    assert loaded[1]["similarity"] != loaded[0]["similarity"]


def test_a_pinned_code_revision_reads_newer_weights(loaded):
    assert loaded[2]["mark"] == 1
    assert loaded[2]["weights"] == loaded[0]["weights"]


def test_it_loads_offline_from_the_cache(hub, home, loaded):
    before = len(hub.requests)
    asked = [{"name": NAME}, {"name": NAME, "revision": "v1"}, {"name": "org/never-seen"}]
    newest, pinned, absent = load_as_user(hub, home, *asked, offline=True)
    assert newest == loaded[0]
    assert pinned == loaded[1]
    assert absent["error"] == "OSError"
    assert len(hub.requests) == before


@pytest.mark.slow
def test_damaged_downloads_and_private_repositories_are_refused(hub, tmp_path, tiny_model_dir):
    hub.put("org/private", tiny_model_dir, private=True)
    hub.damage("model.safetensors", lambda content: content[:-1000])
    try:
        cut, private = load_as_user(hub, tmp_path, {"name": NAME}, {"name": "org/private"})
    finally:
        hub.damage("model.safetensors", None)
    assert cut["error"] == "OSError"
    assert "Consistency check failed" in cut["message"]
    assert private["error"] == "OSError"
    assert "is not a valid model identifier" in private["message"]
    assert not list((tmp_path / "hub").glob("models--org--private/blobs/*"))
    # With the token the same name is there, and what was cut short is downloaded again.
    whole, private = load_as_user(hub, tmp_path, {"name": NAME}, {"name": "org/private"}, token=hub_server.TOKEN)
    assert whole["mark"] == 2
    assert private["class"] == "LangCellModel"


@pytest.mark.slow
def test_langcell_names_the_commit_and_refuses_a_flipped_weight(hub, tmp_path):
    newest = hub.repository(NAME).files["model.safetensors"].content

    def flip(content):
        # Of the same size, which is all that huggingface_hub compares.
        return content[:-9] + bytes([content[-9] ^ 1]) + content[-8:] if content == newest else content

    hub.damage("model.safetensors", flip)
    asked = [{"name": NAME, "revision": "v1"}, {"name": NAME}]
    try:
        named, flipped = load_as_user(hub, tmp_path, *asked, by_langcell=True)
    finally:
        hub.damage("model.safetensors", None)
    assert named["revision"] == hub.repository_commits[0]
    assert flipped["error"] == "ValueError"
    assert "org/langcell cannot be loaded: model.safetensors was damaged" in flipped["message"]
