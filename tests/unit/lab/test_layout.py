"""Folders, ports and names of a lab."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from nomade_pipeline.lab import layout as layouts
from nomade_pipeline.lab.errors import LabError
from nomade_pipeline.lab.layout import DEFAULT_FOLDER, MOST_NODES, PORTS_PER_SLOT, SLOTS, Layout


def ports(layout: Layout) -> list[int]:
    own = [layout.slurmctld_port, layout.slurmdbd_port, layout.mariadb_port]
    return [*own, *(layout.slurmd_port(index) for index in range(layout.nodes))]


def test_no_port_is_given_twice_in_a_lab_or_to_two_labs() -> None:
    first, second = Layout(Path("/a"), slot=7, nodes=MOST_NODES), Layout(Path("/b"), slot=8, nodes=MOST_NODES)
    together = ports(first) + ports(second)
    assert len(set(together)) == len(together)


def test_all_ports_are_below_those_that_linux_gives_to_connections() -> None:
    assert max(ports(Layout(Path("/a"), slot=SLOTS - 1, nodes=MOST_NODES))) < 32768


def test_two_labs_share_no_node_name_because_cgroups_are_named_after_nodes() -> None:
    first, second = Layout(DEFAULT_FOLDER, slot=0), Layout(Path("/b"), slot=8)
    assert first.node_names == ["node001", "node002", "node003", "node004"]
    assert not set(first.node_names) & set(second.node_names)


def test_a_lab_is_read_as_it_was_recorded(tmp_path: Path) -> None:
    assert layouts.load(tmp_path) is None
    lab = Layout(tmp_path, slot=3, nodes=9, cgroups=False)
    layouts.save(lab)
    assert layouts.load(tmp_path) == lab


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"slot": 1}'])
def test_a_record_that_is_none_is_an_error_that_names_the_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "lab.json").write_text(text)
    with pytest.raises(LabError, match=r"lab\.json"):
        layouts.load(tmp_path)


def test_a_folder_has_the_same_slot_whenever_its_ports_are_free() -> None:
    slot = layouts.free_slot(Path("/srv/some-lab"))
    assert slot == layouts.free_slot(Path("/srv/some-lab"))
    assert 0 < slot < SLOTS


def test_a_slot_with_a_port_in_use_is_passed_over() -> None:
    folder = Path("/srv/some-lab")
    slot = layouts.free_slot(folder)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", layouts.FIRST_PORT + slot * PORTS_PER_SLOT + 2))
        taken.listen()
        assert layouts.free_slot(folder) != slot


@pytest.mark.parametrize("folder", ["/srv/" + "x" * 60, "/srv/my lab", "/srv/a#b", "/srv/größe"])
def test_a_folder_that_sockets_or_slurms_configuration_cannot_hold_is_refused(folder: str) -> None:
    with pytest.raises(LabError, match="--folder"):
        layouts.check(Layout(Path(folder)))


def test_the_longest_folder_still_leaves_room_for_the_socket_of_a_step() -> None:
    folder = Path("/" + "x" * (layouts.LONGEST_FOLDER - 1))
    layouts.check(Layout(folder))
    node = Layout(folder, slot=SLOTS - 1, nodes=MOST_NODES).node_names[-1]
    assert len(f"{folder}/slurm/spool/{node}/{node}_67108863.4294967294") < 108
