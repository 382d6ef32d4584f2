from langcell.app.sessions import Sessions


def uploaded(tmp_path, name: str, content: bytes = b"cells"):
    folder = tmp_path / "uploads"
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(content)
    return path


def test_each_page_has_a_folder_of_its_own(tmp_path):
    sessions = Sessions(tmp_path)
    assert sessions.get("a") is sessions.get("a")
    assert sessions.get("a").folder != sessions.get("b").folder
    assert sessions.get("a").folder.stat().st_mode & 0o077 == 0


def test_an_upload_takes_the_place_of_an_earlier_one(tmp_path):
    session = Sessions(tmp_path).get("a")
    session.take_upload(uploaded(tmp_path, "one.h5ad"))
    (session.folder / "one_named.h5ad").write_bytes(b"result")
    (session.folder / "one_named.h5ad.parts").mkdir()
    path = session.take_upload(uploaded(tmp_path, "two.h5ad"))
    assert [path] == list(session.folder.iterdir())
    assert session.upload == "two.h5ad"
    assert not list((tmp_path / "uploads").iterdir())


def test_results_go_and_the_upload_stays(tmp_path):
    session = Sessions(tmp_path).get("a")
    path = session.take_upload(uploaded(tmp_path, "one.h5ad"))
    (session.folder / "one_named.h5ad").write_bytes(b"result")
    session.drop_results()
    assert [path] == list(session.folder.iterdir())
    session.drop_files()
    assert not list(session.folder.iterdir())
    assert session.upload is None


def test_a_closed_page_leaves_nothing(tmp_path):
    sessions = Sessions(tmp_path)
    session = sessions.get("a")
    session.take_upload(uploaded(tmp_path, "one.h5ad"))
    sessions.close("a")
    sessions.close("a")  # a browser may say so twice
    assert session.closed.is_set()
    assert not session.folder.exists()
    assert len(sessions) == 0
