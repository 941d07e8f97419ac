"""`nomade up` as a newcomer meets it: a real installation, a real browser, a clean end."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Iterator

import pytest

from nomade_pipeline import clock, supervisor
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.catalog import RAW_TABLES
from nomade_pipeline.tables.system import DISK

if TYPE_CHECKING:
    from playwright.sync_api import Page, ViewportSize

pytestmark = pytest.mark.needs("chromium")

HOST = "127.0.0.1"
END_SECONDS = 30.0
VIEWPORT: ViewportSize = {"width": 1440, "height": 1200}
# The run of one asset takes about ten seconds; a busy machine takes longer.
RUN_MILLISECONDS = 120_000
CHROMIUM_OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@dataclass
class Installation:
    """A running `nomade up`."""

    process: subprocess.Popen[bytes]
    root: Path
    address: str


def free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        return int(probe.getsockname()[1])


def processes_of(root: Path) -> dict[int, str]:
    """Return the processes that were started with this data folder, with their command line."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        try:
            environment = (entry / "environ").read_bytes()
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except (PermissionError, FileNotFoundError, ProcessLookupError):
            continue
        # A zombie has no command line any more; it waits for its parent and does nothing.
        if command and (os.fsencode(root) in environment or str(root) in command):
            found[int(entry.name)] = command
    return found


def start(root: Path, *options: str) -> Installation:
    """Start `nomade up` on a fresh data folder and wait until its web interface answers."""
    port = free_port()
    root.mkdir()
    config = root / "nomade.toml"
    config.write_text('[general]\ncluster_name = "alpha"\n', encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("NOMADE_", "DAGSTER_"))}
    argv = [sys.executable, "-m", "nomade_pipeline.cli.main", "--config", str(config), "--data-dir", str(root / "data")]
    with (root / "up.log").open("wb") as log:
        process = subprocess.Popen(
            [*argv, "up", "--port", str(port), *options],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=root,
        )
    if not supervisor.wait_until_ready(HOST, port, 2 * supervisor.READY_SECONDS, lambda: process.poll() is None):
        end(process)
        pytest.fail(f"the web interface does not answer:\n{(root / 'up.log').read_text()[-4000:]}")
    return Installation(process, root, f"http://{HOST}:{port}")


def end(process: subprocess.Popen[bytes]) -> float:
    """Ask a supervisor to end and return how long that took."""
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.wait(4 * END_SECONDS)
    return time.monotonic() - began


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation without an agent: nothing has ever been sampled."""
    running = start(tmp_path_factory.mktemp("ui") / "root", "--no-agent")
    yield running
    if running.process.poll() is None:
        end(running.process)


@pytest.fixture(scope="module")
def page(installation: Installation) -> Iterator[Page]:
    """A page of a real browser."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(CHROMIUM_OPTIONS))
        opened = browser.new_page(viewport=VIEWPORT)
        opened.set_default_timeout(60_000)
        yield opened
        browser.close()


def visit(page: Page, address: str) -> None:
    """Open a page, and close the invitation that a fresh Dagster may show."""
    page.goto(address)
    page.get_by_role("link", name="Catalog").wait_for()
    page.wait_for_timeout(1500)
    skip = page.get_by_role("button", name="Skip", exact=True)
    if skip.count():
        skip.click()


def test_the_catalogue_shows_every_raw_asset(installation: Installation, page: Page) -> None:
    from playwright.sync_api import expect

    # The list draws what is in view only.
    page.set_viewport_size({"width": 1440, "height": 4000})
    visit(page, f"{installation.address}/assets")
    for table in RAW_TABLES:
        expect(page.locator(f"a[href='/assets/raw/{table.name}']").first).to_be_visible()
    page.set_viewport_size(VIEWPORT)


def test_materialising_today_by_hand_on_a_fresh_install_samples_this_host(
    installation: Installation, page: Page
) -> None:
    from playwright.sync_api import expect

    today = clock.today()
    visit(page, f"{installation.address}/assets/raw/disk")
    page.get_by_role("button", name="Materialize…").click()
    page.get_by_text("Latest", exact=True).click()
    page.get_by_role("button", name="Launch 1 run").click()

    # The notice of the launched run leads to its page.
    page.get_by_text("View", exact=True).click()
    page.wait_for_url("**/runs/*")
    ended = page.get_by_text(re.compile(r"^(Success|Failure|Canceled)$")).first
    expect(ended).to_be_visible(timeout=RUN_MILLISECONDS)
    assert ended.inner_text() == "Success", log_of(installation)

    store = Store.at(installation.root / "data")
    rows = store.lake.read_day(DISK, "alpha", today)
    assert rows.height >= 1
    assert set(rows["source"]) <= {"manual-tool", "manual-proc"}


def test_the_asset_page_shows_columns_checks_and_the_row_count(installation: Installation, page: Page) -> None:
    from playwright.sync_api import expect

    asset = f"{installation.address}/assets/raw/disk"
    stored = Store.at(installation.root / "data").lake.count(DISK, "alpha", clock.today())

    visit(page, asset)
    for name in ("filesystem_id", "used_percent"):
        expect(page.get_by_text(name, exact=True).first).to_be_attached()
    expect(page.get_by_text("Latest materialization")).to_be_visible()

    visit(page, f"{asset}?view=partitions&partition={clock.today().isoformat()}")
    count = page.get_by_role("row").filter(has_text="dagster/partition_row_count")
    expect(count).to_contain_text(str(stored))

    visit(page, f"{asset}?view=checks")
    checks = (
        "rows_fulfil_the_contract",
        "newest_data_is_there",
        "great_expectations_suite",
        "no_partitions_left_failed",
    )
    for check in checks:
        expect(page.get_by_text(check, exact=True).first).to_be_visible()
    expect(page.get_by_text("Succeeded")).to_have_count(len(checks))


def test_the_code_location_is_loaded_without_an_error(installation: Installation, page: Page) -> None:
    from playwright.sync_api import expect

    visit(page, f"{installation.address}/locations")
    expect(page.get_by_text("Loaded", exact=True)).to_be_visible()


def log_of(installation: Installation) -> str:
    return (installation.root / "up.log").read_text(encoding="utf-8", errors="replace")[-6000:]


def test_sigterm_ends_everything_within_half_a_minute_and_leaves_no_process(tmp_path: Path) -> None:
    """With an agent, whose tools are measuring at that moment."""
    running = start(tmp_path / "root")
    data = running.root / "data"
    parts = ("nomade_pipeline.agent", "dagster api grpc", "dagster_webserver", "dagster._daemon", "iostat")
    deadline = time.monotonic() + 30
    while (missing := [part for part in parts if not runs(part, data)]) and time.monotonic() < deadline:
        time.sleep(0.5)
    if shutil.which("iostat") is None:
        missing = [part for part in missing if part != "iostat"]
    assert not missing, f"{missing} never ran; {processes_of(data)}"

    seconds = end(running.process)

    assert running.process.returncode == 0, log_of(running)
    assert seconds < END_SECONDS
    assert processes_of(data) == {}
    with socket.create_server((HOST, int(running.address.rpartition(":")[2]))):
        pass


def runs(part: str, data: Path) -> bool:
    return any(part in command for command in processes_of(data).values())
