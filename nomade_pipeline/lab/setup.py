"""What lies in a lab's folder before anything runs: folders, keys, configuration, the jobs' scripts."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from importlib import resources
from pathlib import Path

from nomade_pipeline.lab import commands, configs
from nomade_pipeline.lab.layout import GPUS, Layout

LOCAL_CONF = (
    "# Lines for this lab's slurm.conf (Prolog=, Epilog= …); `nomade lab up` keeps them. Then: scontrol reconfigure\n"
)


def prepare(layout: Layout) -> None:
    """Write everything that a lab's daemons need; what must stay the same is written only once."""
    _make_folders(layout)
    _write_once(layout.munge / "munge.key", secrets.token_bytes(128), owner="munge", mode=0o400)
    address = configs.own_loopback_address()
    if layout.scale:
        _write_configs(layout, configs.render_scale(layout, address))
        return
    password = _write_once(layout.etc / "slurmdbd.password", secrets.token_hex(16).encode(), owner="root", mode=0o400)
    _write_once(layout.etc / "local.conf", LOCAL_CONF.encode(), owner="root", mode=0o644)
    _write_configs(layout, configs.render(layout, password.decode(), address))
    for index in range(GPUS):
        _make_device(layout.gpus / f"a100-{index}")
    for script in resources.files("nomade_pipeline.lab").joinpath("jobs").iterdir():
        _write(layout.job_scripts / script.name, script.read_bytes(), owner="root", mode=0o755)
    _create_database_files(layout)


def _write_configs(layout: Layout, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        # slurmdbd refuses a configuration that others than its own user may read.
        secret = name == "slurmdbd.conf"
        _write(layout.etc / name, text.encode(), owner="slurm" if secret else "root", mode=0o600 if secret else 0o644)


def create_database(layout: Layout) -> None:
    """Make slurmdbd's database and its user; safe to repeat. MariaDB must be running."""
    password = (layout.etc / "slurmdbd.password").read_text("ascii")
    statements = (
        "CREATE DATABASE IF NOT EXISTS slurm_acct_db",
        "CREATE USER IF NOT EXISTS slurm@'127.0.0.1'",
        f"ALTER USER slurm@'127.0.0.1' IDENTIFIED BY '{password}'",
        "GRANT ALL ON slurm_acct_db.* TO slurm@'127.0.0.1'",
    )
    client = ["mariadb", "--no-defaults", f"--socket={layout.mysql_socket}", "--execute"]
    commands.run([*client, "; ".join(statements)], commands.tool_environment(layout))


def _make_folders(layout: Layout) -> None:
    owners = {
        "root": (layout.folder, layout.etc, layout.gpus, layout.job_scripts, layout.manifests),
        "munge": (layout.munge,),
        "mysql": (layout.mysql,),
        "slurm": (layout.slurm, *(layout.slurm / name for name in ("log", "run", "state", "spool"))),
    }
    for owner, folders in owners.items():
        for folder in folders:
            folder.mkdir(exist_ok=True)
            shutil.chown(folder, owner, owner)
            folder.chmod(0o755)


def _create_database_files(layout: Layout) -> None:
    """Let MariaDB make its data folder; under another name first, so that a torn attempt is not taken for one."""
    data, half = layout.mysql / "data", layout.mysql / "data.new"
    if data.exists():
        return
    shutil.rmtree(half, ignore_errors=True)
    plain = ["--no-defaults", "--user=mysql", "--skip-test-db", "--skip-log-bin"]
    root = "--auth-root-authentication-method=socket"
    commands.run(["mariadb-install-db", *plain, root, f"--datadir={half}"], commands.daemon_environment(layout))
    half.rename(data)


def _make_device(path: Path) -> None:
    """Make another /dev/null: Slurm wants a GPU to be a device, and opens none."""
    if not path.exists():
        os.mknod(path, 0o666 | stat.S_IFCHR, Path(os.devnull).stat().st_rdev)


def _write_once(path: Path, content: bytes, *, owner: str, mode: int) -> bytes:
    """Write a file unless it is there; return what it holds."""
    if not path.exists():
        _write(path, content, owner=owner, mode=mode)
    return path.read_bytes()


def _write(path: Path, content: bytes, *, owner: str, mode: int) -> None:
    """Write a file whole, with its owner and mode from the first moment on."""
    part = path.with_name(f".{path.name}.new")
    part.unlink(missing_ok=True)
    part.touch(mode=mode)
    part.write_bytes(content)
    shutil.chown(part, owner, owner)
    part.chmod(mode)
    part.replace(path)
