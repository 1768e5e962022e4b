import pytest

from traitswap.errors import TraitswapError
from traitswap.files import remove_leftovers, written_whole


def test_a_file_takes_no_folder_s_place(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "state").write_text("mine")
    with pytest.raises(TraitswapError, match="runs: it is a folder"), written_whole(tmp_path / "runs") as fresh:
        fresh.write_text("numbers")
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    assert (tmp_path / "runs" / "state").read_text() == "mine"


def test_what_a_killed_write_moved_aside_comes_back(tmp_path):
    for name in ("000000008", "000000016"):
        (tmp_path / f".{name}.partial-x" / "old").mkdir(parents=True)
    (tmp_path / "000000016").mkdir()
    (tmp_path / "000000016" / "newer").touch()
    remove_leftovers(tmp_path / "*")
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == [
        "000000008",
        "000000016",
        "000000016/newer",
    ]
