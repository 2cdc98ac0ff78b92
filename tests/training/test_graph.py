"""graph.txt: the published files, the round trip, and files that are none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.training import Node, Profile, ProfileError, read_profile
from workbench.training.graph import parents_of, topological

PUBLISHED = sorted((Path(__file__).parents[3] / "shared" / "data" / "pipedream").glob("*.graph.txt"))
needs_published = pytest.mark.skipif(not PUBLISHED, reason="needs the published profiles")

LINE = (
    "node1 -- Conv2d(3, 64) -- forward_compute_time=1.5, backward_compute_time=2.25, "
    "activation_size=[4.0; 2.0], parameter_size=8"
)


@needs_published
@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.name.split(".")[0])
def test_published_files_come_back_equal(path: Path, tmp_path: Path) -> None:
    profile = read_profile(path)
    assert len(profile.nodes) == sum(line.startswith("node") for line in path.read_text().splitlines())
    assert len(topological(profile.nodes, profile.edges)) == len(profile.nodes)
    profile.write(tmp_path / "again.txt")
    assert read_profile(tmp_path / "again.txt") == profile


def test_one_line(tmp_path: Path) -> None:
    path = tmp_path / "graph.txt"
    path.write_text(f"node2 -- a, b -- c -- {LINE.split(' -- ')[2]} -- stage_id=3\r\n{LINE}\r\n\tnode1 -- node2\r\n")
    profile = read_profile(path)
    assert profile.nodes == (
        Node("node2", "a, b -- c", 1.5, 2.25, (4.0, 2.0), 8.0, 3),
        Node("node1", "Conv2d(3, 64)", 1.5, 2.25, (4.0, 2.0), 8.0, None),
    )
    assert profile.edges == (("node1", "node2"),) and profile.batch_size is None
    profile.write(path)
    assert path.read_text().splitlines()[1] == (
        "node1 -- Conv2d(3, 64) -- forward_compute_time=1.500, backward_compute_time=2.250, "
        "activation_size=[4.000; 2.000], parameter_size=8.000"
    )


words = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\r\n"), max_size=12)
ids = words.map(str.strip).filter(lambda text: text and "\t" not in text and " -- " not in text)
sizes = st.floats(0, 1e15)


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    names = draw(st.lists(ids, min_size=1, max_size=6, unique=True))
    nodes = tuple(
        Node(
            name,
            draw(words),
            draw(sizes),
            draw(sizes),
            tuple(draw(st.lists(sizes, max_size=3))),
            draw(sizes),
            draw(st.none() | st.integers(0, 9)),
        )
        for name in names
    )
    pairs = [(a, b) for position, a in enumerate(names) for b in names[position + 1 :]]
    return Profile(nodes, tuple(draw(st.lists(st.sampled_from(pairs), max_size=8)) if pairs else ()))


@settings(max_examples=60, deadline=None)
@given(profile=profiles())
def test_what_is_written_is_read(profile: Profile, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("graph") / "graph.txt"
    profile.write(path)
    again = read_profile(path)
    assert again.edges == profile.edges
    for node, other in zip(profile.nodes, again.nodes, strict=True):
        assert replace(other, forward_ms=0, backward_ms=0, activation_bytes=(), parameter_bytes=0) == replace(
            node, forward_ms=0, backward_ms=0, activation_bytes=(), parameter_bytes=0
        )
        numbers = (node.forward_ms, node.backward_ms, node.parameter_bytes, *node.activation_bytes)
        found = (other.forward_ms, other.backward_ms, other.parameter_bytes, *other.activation_bytes)
        assert found == pytest.approx(numbers, rel=1e-15, abs=1e-3)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_files_are_profile_errors(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    whole = f"{LINE}\nnode2 -- ReLU -- {LINE.split(' -- ')[2]} -- stage_id=1\n\tnode1 -- node2\n".encode()
    start, end = sorted(data.draw(st.tuples(st.integers(0, len(whole)), st.integers(0, len(whole)))))
    put = data.draw(
        st.binary(max_size=4) | st.sampled_from([b" -- ", b", ", b"nan", b"\n", b"\t", b"[", b"]", b"=", b"1e999"])
    )
    path = tmp_path_factory.mktemp("graph") / "graph.txt"
    path.write_bytes(whole[:start] + put + whole[end:])
    try:
        profile = read_profile(path)
    except ProfileError as caught:
        error = caught
    else:
        profile.write(path)
        assert [node.id for node in read_profile(path).nodes] == [node.id for node in profile.nodes]
        return
    assert error.message.startswith(str(path)) and error.hint and len(error.lines()) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("node1", ':1: expected "forward_compute_time=…", found "node1".'),
        (LINE.replace("2.25", "-1"), ':1: expected "backward_compute_time=…", found "backward_compute_time=-1".'),
        (LINE.replace("; 2.0", "; x"), ':1: expected "activation_size=…", found "activation_size= x".'),
        (LINE.replace(", parameter_size=8", ""), f':1: expected "parameter_size=…", found "{LINE[:57]}...".'),
        (f"{LINE} -- stage_id=x", ':1: expected "stage_id=…", found "stage_id=x".'),
        (f"{LINE}\n\n\tnode1 node2", ':3: expected "from -- to", found "node1 node2".'),
        (f"{LINE}\n\tnode1 -- node9", ": edge node1 -- node9 names a node that is not in the file."),
        (f"{LINE}\n{LINE}", ": there are two nodes node1."),
        (f"{LINE}\n\tnode1 -- node1", ": edge node1 -- node1 closes a cycle."),
        ("", ": there is no node."),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "graph.txt"
    path.write_text(text)
    with pytest.raises(ProfileError) as caught:
        read_profile(path)
    assert caught.value.message == f"{path}{message}"


def test_no_file_and_no_text(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="cannot be read"):
        read_profile(tmp_path / "none")
    (tmp_path / "binary").write_bytes(b"a\n\xff\xfe")
    with pytest.raises(ProfileError, match=":2: expected"):
        read_profile(tmp_path / "binary")


def test_a_cycle_is_named_by_an_edge_of_it() -> None:
    nodes = tuple(Node(name, "", 1, 1, (1.0,), 0) for name in "abcde")
    cycle = {("b", "c"), ("c", "d"), ("d", "b")}
    with pytest.raises(ProfileError) as caught:
        Profile(nodes, (("a", "b"), *cycle, ("d", "e")))
    assert any(f"edge {start} -- {end} closes" in caught.value.message for start, end in cycle)


def test_table_and_stages() -> None:
    nodes = (Node("b", "x", 1, 2, (3.0, 4.0), 5), Node("a", "Input0", 0, 0, (), 0))
    profile = Profile(nodes, (("a", "b"),), 32)
    table = profile.with_stages({"b": 1}).to_pandas()
    assert table.dtypes.astype(str).to_dict() == {
        "node": "str",
        "description": "str",
        "forward_ms": "float64",
        "backward_ms": "float64",
        "activation_bytes": "float64",
        "parameter_bytes": "float64",
        "stage": "Int64",
    }
    assert table.activation_bytes.tolist() == [7.0, 0.0] and table.stage.tolist()[0] == 1 and table.stage.isna()[1]
    assert topological(profile.nodes, profile.edges) == ["a", "b"]
    assert parents_of(profile.nodes, (("a", "b"), ("a", "b"))) == {"a": [], "b": ["a"]}
