"""Installing the hooks beside slurm.conf: nobody's hook is replaced, and what was there comes back byte by byte."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.installation import nomade

from nomade_pipeline.slurm_hooks import conf as confs
from nomade_pipeline.slurm_hooks.conf import ConfError
from nomade_pipeline.slurm_hooks.install import Wish, carry_out, plan_install, plan_uninstall, render, states

PLAIN = b"ClusterName=c\nSlurmctldHost=head\n# caf\xe9\nPartitionName=p Nodes=ALL\n"
AGENT = ("/usr/local/bin/nomade-agent",)


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    path = tmp_path / "slurm.conf"
    path.write_bytes(PLAIN)
    return path


def install(conf: Path) -> list[str]:
    plan = plan_install(Wish(conf, AGENT))
    carry_out(plan)
    return plan.advice


def uninstall(conf: Path) -> None:
    carry_out(plan_uninstall(conf))


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"/" for path in folder.rglob("*")}


def names(conf: Path) -> dict[str, str]:
    return {name: setting.value for name, setting in confs.settings_of(conf).items()}


# --- there and back ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        b"",
        b"\n",
        b"ClusterName=c",
        b"ClusterName=c\n\n\n",
        b"ClusterName=c\r\n",
        b"# end of file, no newline",
        b"\xff\xfe\n",
    ],
)
def test_what_was_there_comes_back_byte_by_byte(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "slurm.conf"
    path.write_bytes(content)
    before = tree(tmp_path)
    assert install(path) == []
    assert tree(tmp_path) != before
    uninstall(path)
    assert tree(tmp_path) == before


@given(st.binary(max_size=200).filter(lambda each: b"nomade" not in each and not each.rstrip(b"\n").endswith(b"\\")))
def test_any_bytes_come_back(content: bytes) -> None:
    changed = confs.with_block(content, {"Prolog": "/p"})
    assert changed.endswith(b"Prolog=/p\n# <<< nomade hooks\n")
    assert confs.without_block(changed) == content
    assert confs.with_block(changed, {"Prolog": "/p"}) == changed


def test_lines_that_were_added_meanwhile_stay(conf: Path) -> None:
    install(conf)
    conf.write_bytes(b"# new first line\n" + conf.read_bytes() + b"NodeName=late\n")
    uninstall(conf)
    assert conf.read_bytes() == b"# new first line\n" + PLAIN + b"NodeName=late\n"


def test_installing_again_changes_nothing(conf: Path) -> None:
    install(conf)
    before = tree(conf.parent)
    assert plan_install(Wish(conf, AGENT)).is_empty
    assert tree(conf.parent) == before


def test_installing_with_another_agent_renews_the_scripts_only(conf: Path) -> None:
    install(conf)
    plan = plan_install(Wish(conf, ("/opt/x y/agent", "--config", "/etc/it's.toml"), Path("/run/other")))
    assert plan.conf is None
    assert len(plan.files) == 2
    carry_out(plan)
    text = (conf.parent / "prolog.d/nomade.sh").read_text()
    assert """agent() { exec '/opt/x y/agent' --config '/etc/it'"'"'s.toml' "$@"; }""" in text
    assert "\nRUN=/run/other\n" in text
    subprocess.run(["sh", "-n", str(conf.parent / "prolog.d/nomade.sh")], check=True)


def test_owner_and_mode_of_slurm_conf_stay_and_a_link_to_it_too(tmp_path: Path) -> None:
    real = tmp_path / "shared" / "slurm.conf"
    real.parent.mkdir()
    real.write_bytes(PLAIN)
    real.chmod(0o640)
    link = tmp_path / "slurm.conf"
    link.symlink_to(real)
    install(link)
    assert link.is_symlink()
    assert b"nomade hooks" in real.read_bytes()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert sorted(path.name for path in real.parent.iterdir()) == ["slurm.conf"]


def test_folders_that_were_there_stay(conf: Path) -> None:
    (conf.parent / "prolog.d").mkdir()
    (conf.parent / "epilog.d").mkdir()
    (conf.parent / "epilog.d/theirs.sh").write_text("#!/bin/sh\n")
    install(conf)
    uninstall(conf)
    assert (conf.parent / "prolog.d").is_dir()
    assert [path.name for path in (conf.parent / "epilog.d").iterdir()] == ["theirs.sh"]


def test_a_folder_that_somebody_else_uses_by_now_stays(conf: Path) -> None:
    install(conf)
    (conf.parent / "prolog.d/theirs.sh").write_text("#!/bin/sh\n")
    uninstall(conf)
    assert [path.name for path in (conf.parent / "prolog.d").iterdir()] == ["theirs.sh"]


# --- hooks of others --------------------------------------------------------------------------------------


def test_a_hook_of_somebody_else_is_never_replaced(conf: Path) -> None:
    conf.write_bytes(PLAIN + b"  epilog = /etc/slurm/theirs.sh  # theirs\n")
    (advice,) = install(conf)
    assert names(conf) == {
        "Prolog": str(conf.parent / "prolog.d/nomade.sh"),
        "Epilog": "/etc/slurm/theirs.sh",
        "TaskEpilog": str(conf.parent / "epilog.d/nomade.sh"),
    }
    assert f"{conf}:5: Epilog=/etc/slurm/theirs.sh stays" in advice
    assert str(conf.parent / "epilog.d/nomade.sh") in advice


def test_a_pattern_that_holds_our_script_needs_no_line(conf: Path) -> None:
    conf.write_bytes(PLAIN + f"Prolog={conf.parent}/prolog.d/*\nEpilog={conf.parent}/epilog.d/*.sh\n".encode())
    assert install(conf) == []
    assert plan_install(Wish(conf, AGENT)).lines == {"TaskEpilog": str(conf.parent / "epilog.d/nomade.sh")}
    assert all(state.is_active for state in states(conf))


def test_a_hook_in_an_included_file_is_seen(conf: Path) -> None:
    conf.write_bytes(PLAIN + b"Include more.conf\nInclude %c.conf\n")
    (conf.parent / "more.conf").write_bytes(b'PROLOG="/their/prolog"\n')
    (advice,) = install(conf)
    assert f"{conf.parent}/more.conf:1: Prolog=/their/prolog stays" in advice


def test_a_comment_and_a_setting_that_ends_alike_are_no_hooks(conf: Path) -> None:
    conf.write_bytes(PLAIN + b"#Prolog=/a\nPrologFlags=Alloc\nPrologSlurmctld=/b\nSrunProlog=/c\nTaskProlog=/d\n")
    assert confs.settings_of(conf) == {}


def test_a_script_of_somebody_else_under_our_name_is_not_overwritten(conf: Path) -> None:
    (conf.parent / "prolog.d").mkdir()
    (conf.parent / "prolog.d/nomade.sh").write_text("#!/bin/sh\nimportant\n")
    with pytest.raises(ConfError, match="is not ours"):
        install(conf)
    assert conf.read_bytes() == PLAIN
    uninstall(conf)
    assert (conf.parent / "prolog.d/nomade.sh").read_text() == "#!/bin/sh\nimportant\n"


# --- refusals ---------------------------------------------------------------------------------------------


def test_files_that_include_each_other_are_refused(conf: Path) -> None:
    conf.write_bytes(b"Include slurm.conf\n")
    with pytest.raises(ConfError, match="include each other"):
        install(conf)


def test_a_last_line_that_goes_on_is_refused(conf: Path) -> None:
    conf.write_bytes(PLAIN + b"NodeName=a \\\n")
    with pytest.raises(ConfError, match="backslash"):
        install(conf)


def test_a_slurm_conf_that_is_not_there_is_told(tmp_path: Path) -> None:
    ended = nomade("hooks", "install", "--conf", str(tmp_path / "none.conf"))
    assert ended.status == 1
    assert "name slurm.conf with --conf" in ended.stderr


# --- the command ------------------------------------------------------------------------------------------


def test_a_dry_run_says_all_and_does_nothing(conf: Path) -> None:
    before = tree(conf.parent)
    ended = nomade("hooks", "install", "--dry-run", "--conf", str(conf), "--agent", "/a")
    assert (ended.status, tree(conf.parent)) == (0, before)
    for word in ("would write", "prolog.d/nomade.sh", "would change", "TaskEpilog="):
        assert word in ended.stdout


def test_the_command_installs_shows_and_takes_away(conf: Path) -> None:
    before = tree(conf.parent)
    assert nomade("hooks", "show", "--conf", str(conf)).status == 1
    done = nomade("hooks", "install", "--conf", str(conf), "--agent", "/a", "--json")
    assert (done.status, done.json["advice"], sorted(done.json["lines"])) == (0, [], ["Epilog", "Prolog", "TaskEpilog"])
    shown = nomade("hooks", "show", "--conf", str(conf), "--json")
    assert (shown.status, [each["is_active"] for each in shown.json]) == (0, [True] * 3)
    assert "TaskEpilog" in nomade("hooks", "show", "--conf", str(conf)).stdout
    assert nomade("hooks", "uninstall", "--conf", str(conf)).status == 0
    assert tree(conf.parent) == before
    assert "nothing to do" in nomade("hooks", "uninstall", "--conf", str(conf)).stdout


def test_what_is_left_to_a_person_is_an_exit_status(conf: Path) -> None:
    conf.write_bytes(PLAIN + b"Prolog=/theirs\n")
    ended = nomade("hooks", "install", "--conf", str(conf), "--agent", "/a")
    assert ended.status == 1
    assert "left to you: " in ended.stderr


def test_the_scripts_read_the_configuration_that_the_call_was_given(conf: Path, tmp_path: Path) -> None:
    nomade("hooks", "install", "--conf", str(conf), "--agent", "/a", root=tmp_path / "data")
    assert f"exec /a --data-dir {tmp_path}/data" in (conf.parent / "epilog.d/nomade.sh").read_text()


@pytest.mark.parametrize("source", ["prolog.sh", "epilog.sh"])
def test_every_shell_reads_the_scripts(source: str, tmp_path: Path) -> None:
    path = tmp_path / source
    path.write_text(render(source, Wish(Path("/etc/slurm/slurm.conf"), AGENT), made_folder=True))
    assert path.read_text().startswith("#!/bin/sh\n# Installed by")
    for shell in ("/bin/sh", "/bin/bash", "/bin/dash", "/bin/ksh"):
        if os.access(shell, os.X_OK):
            subprocess.run([shell, "-n", str(path)], check=True)
