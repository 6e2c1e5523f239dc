import sys
from pathlib import Path

import pytest

from textzoo.checkpoints import hub
from textzoo.errors import HubError, UnknownModelError

huggingface_hub = pytest.importorskip("huggingface_hub")
constants = pytest.importorskip("huggingface_hub.constants")
errors = pytest.importorskip("huggingface_hub.errors")
COMMIT, OLD = "c" * 40, "0" * 40


def cache_model(cache: Path, commit: str, files=("config.json", "model.safetensors")) -> Path:
    """The layout in which the hub's client caches ``org/name``."""
    repo = cache / "models--org--name"
    snapshot = repo / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (repo / "refs").mkdir(exist_ok=True)
    (repo / "refs" / "main").write_text(commit)
    for name in files:
        blob = repo / "blobs" / f"{name}-{commit}"
        blob.parent.mkdir(exist_ok=True)
        blob.write_text("content")
        (snapshot / name).parent.mkdir(exist_ok=True)
        (snapshot / name).symlink_to(blob)
    return snapshot


@pytest.fixture
def no_download(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("asked the network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)


@pytest.fixture
def offline(monkeypatch, no_download):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def test_cached_model_is_found_without_network_or_package(tmp_path, monkeypatch):
    snapshot = cache_model(tmp_path, COMMIT)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert hub.find("org/name", cache_dir=tmp_path) == snapshot


def test_revision_chooses_among_cached_ones(tmp_path, no_download):
    old = cache_model(tmp_path, OLD)
    new = cache_model(tmp_path, COMMIT)
    (tmp_path / "models--org--name" / "refs" / "v1").write_text(OLD)
    assert hub.find("org/name", cache_dir=tmp_path) == new
    assert hub.find("org/name", revision="v1", cache_dir=tmp_path) == old
    assert hub.find("org/name", revision=OLD, cache_dir=tmp_path) == old


def test_the_layout_is_the_one_that_the_client_reads(tmp_path):
    snapshot = cache_model(tmp_path, COMMIT)
    theirs = huggingface_hub.try_to_load_from_cache("org/name", "config.json", cache_dir=tmp_path)
    assert Path(theirs).parent == snapshot


@pytest.mark.parametrize("files", [("config.json",), ("model.safetensors",), ("README.md",)])
def test_half_cached_model_counts_as_absent(tmp_path, files):
    cache_model(tmp_path, COMMIT, files)
    assert hub.find_cached("org/name", cache_dir=tmp_path) is None


def test_sentence_transformers_layout_with_weights_below_is_whole(tmp_path):
    snapshot = cache_model(tmp_path, COMMIT, ("modules.json", "0_Transformer/model.safetensors"))
    assert hub.find_cached("org/name", cache_dir=tmp_path) == snapshot


def test_dangling_links_count_as_absent(tmp_path):
    snapshot = cache_model(tmp_path, COMMIT)
    (snapshot / "model.safetensors").resolve().unlink()
    assert hub.find_cached("org/name", cache_dir=tmp_path) is None


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"HF_HUB_CACHE": "/a", "HF_HOME": "/b"}, "/a"),
        ({"HF_HOME": "/b", "XDG_CACHE_HOME": "/c"}, "/b/hub"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/huggingface/hub"),
        ({"HOME": "/d"}, "/d/.cache/huggingface/hub"),
    ],
)
def test_cache_is_where_the_client_has_it(variables, expected, monkeypatch):
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert hub.cache_directory() == Path(expected)


def test_offline_and_not_cached_says_how_to_get_it(tmp_path, offline):
    with pytest.raises(HubError, match="nor in the hub's cache.*switched off.*hf download org/na"):
        hub.find("org/name", cache_dir=tmp_path)


def test_missing_package_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(HubError, match=r"pip install 'textzoo\[hub\]'"):
        hub.find("org/name", cache_dir=tmp_path)


def failing_download(monkeypatch, error):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)


def test_unknown_model_of_the_hub_is_unknown(tmp_path, monkeypatch):
    error = errors.RepositoryNotFoundError.__new__(errors.RepositoryNotFoundError)
    failing_download(monkeypatch, error)
    with pytest.raises(UnknownModelError, match="the hub knows no such model"):
        hub.find("org/name", cache_dir=tmp_path)


def test_no_network_is_told_with_its_cause(tmp_path, monkeypatch):
    failing_download(monkeypatch, ConnectionError("name resolution failed"))
    with pytest.raises(HubError, match="name resolution failed.*Check the network"):
        hub.find("org/name", cache_dir=tmp_path)


def test_download_leaves_out_what_is_not_read(tmp_path, monkeypatch):
    asked = {}

    def download(repo_id, **options):
        asked.update(options, repo_id=repo_id)
        return str(tmp_path)

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert hub.find("org/name", revision="v1", cache_dir=tmp_path) == tmp_path
    assert asked["repo_id"] == "org/name" and asked["revision"] == "v1"
    assert asked["allow_patterns"] == ["*.json", "*.safetensors"]


@pytest.mark.parametrize("text", ["org/name", "sentence-transformers/all-MiniLM-L6-v2", "a/b_c.d"])
def test_hub_ids_are_recognized(text):
    assert hub.is_repo_id(text)


@pytest.mark.parametrize("text", ["name", "a/b/c", "/a/b", "./a", "../a", "a/", "a b/c", "~/a"])
def test_paths_and_names_are_not_hub_ids(text):
    assert not hub.is_repo_id(text)
