"""Take the manual's pictures anew: ``.venv/bin/python scripts/screenshots.py [docs/images]``.

Runs a real installation on a throw-away data folder: samples of this host, a simulated cluster, Dagster's web server,
runs of `ingest`, `close_day` and `analyse_day`. Then a real browser looks at it. Needs chromium; takes some minutes.
"""

from __future__ import annotations

import json
import os
import pty
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any, Iterator

from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from nomade_pipeline import clock, supervisor
from nomade_pipeline.config.paths import DataPaths

REPOSITORY = Path(__file__).resolve().parents[1]
IMAGES = REPOSITORY / "docs" / "images"

VIEWPORT: ViewportSize = {"width": 1440, "height": 900}
HOST = "127.0.0.1"
SAMPLES = 4
RUN_SECONDS = 300.0
WAIT_MILLISECONDS = 30_000
ZOOM_STEPS = 3

CONFIG = """\
[general]
cluster_name = "alpha"
host = "head01"
"""

CHROMIUM_OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
)

LAUNCH = """
mutation Launch($parameters: ExecutionParams!) {
  launchRun(executionParams: $parameters) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""
STATUS = "query Status($run: ID!) { runOrError(runId: $run) { ... on Run { status } } }"

TERMINAL = """\
<!doctype html><meta charset="utf-8">
<style>
  body {{ margin: 0; background: #1b1f27; }}
  main {{ display: inline-block; padding: 22px 28px; }}
  pre {{ margin: 0; color: #d8dee9; font: 15px/1.35 "DejaVu Sans Mono", "Liberation Mono", monospace; }}
</style>
<main><pre><span style="color:#8fbcbb">{prompt}</span>
{screen}</pre></main>
"""


def main(folder: Path) -> None:
    """Write all pictures into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    root = Path(tempfile.mkdtemp(prefix="nomade-pictures-"))
    try:
        config = root / "nomade.toml"
        config.write_text(CONFIG, encoding="utf-8")
        options = ["--config", str(config), "--data-dir", str(root / "data")]
        sample(options, SAMPLES)
        run_nomade(options, "simulate", "--days", "3", "--jobs", "900", "--hosts", "4")
        run_nomade(options, "compute", "features")
        with installation(root, options) as address, sync_playwright() as playwright:
            for job in ("ingest", "close_day", "analyse_day"):
                sample(options, 1)
                run_job(address, job, clock.today().isoformat())
            browser = playwright.chromium.launch(executable_path=chromium(), args=list(CHROMIUM_OPTIONS))
            photograph_dagster(browser, address, folder)
            photograph_status(browser, options, folder / "status.png")
            browser.close()
    finally:
        shutil.rmtree(root, ignore_errors=True)


def sample(options: list[str], times: int) -> None:
    """Take samples of this host."""
    for _ in range(times):
        run_nomade(options, "collect", "--once", "--interval", "2")


def run_nomade(options: list[str], *arguments: str) -> None:
    """Run a command, which must succeed."""
    subprocess.run([*_nomade(), *options, *arguments], check=True)


def _nomade() -> list[str]:
    return [sys.executable, "-m", "nomade_pipeline.cli.main"]


def chromium() -> str:
    """Return the browser's path.

    Raises:
        SystemExit: there is none.
    """
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        raise SystemExit("chromium is not installed: apt-get install chromium")
    return found


@contextmanager
def installation(root: Path, options: list[str]) -> Iterator[str]:
    """Run web server and daemon on a data folder; yield the address of the web interface."""
    paths = DataPaths(root / "data")
    with socket.create_server((HOST, 0)) as probe:
        port = probe.getsockname()[1]
    process = supervisor.start(paths, [*options, "up", "--no-agent", "--port", str(port)])
    try:
        if not supervisor.wait_until_ready(HOST, port, supervisor.READY_SECONDS, lambda: process.poll() is None):
            raise SystemExit(f"the web server does not answer; see {paths.logs / 'nomade.out'}")
        yield supervisor.console_address(HOST, port)
    finally:
        supervisor.stop(paths)
        process.wait(supervisor.STOP_SECONDS)


def ask(address: str, query: str, **variables: Any) -> dict[str, Any]:
    """Return the data of a GraphQL answer."""
    body = json.dumps({"query": query, "variables": variables}).encode()
    # The address is that of the server that this script has started.
    request = urllib.request.Request(f"{address}/graphql", body, {"Content-Type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        content: dict[str, Any] = json.load(answer)
    return dict(content["data"])


def run_job(address: str, job: str, day: str) -> None:
    """Launch a job for one partition and wait for its success.

    Raises:
        SystemExit: it does not start, does not end or fails.
    """
    parameters = {
        "mode": "default",
        "selector": {"repositoryLocationName": "nomade_pipeline", "repositoryName": "__repository__", "jobName": job},
        "runConfigData": {},
        "executionMetadata": {"tags": [{"key": "dagster/partition", "value": day}]},
    }
    launched = ask(address, LAUNCH, parameters=parameters)["launchRun"]
    if launched["__typename"] != "LaunchRunSuccess":
        raise SystemExit(f"{job} was not launched: {launched}")
    deadline = clock.monotonic() + RUN_SECONDS
    while clock.monotonic() < deadline:
        status = ask(address, STATUS, run=launched["run"]["runId"])["runOrError"]["status"]
        if status == "SUCCESS":
            return
        if status in ("FAILURE", "CANCELED"):
            break
        time.sleep(1)
    raise SystemExit(f"the run of {job} is {status}")


def open_page(page: Page, address: str) -> None:
    """Open a page, and close the invitation that a fresh Dagster shows."""
    page.goto(address)
    page.get_by_role("link", name="Catalog").wait_for()
    page.wait_for_timeout(1500)
    skip = page.get_by_role("button", name="Skip", exact=True)
    if skip.count():
        skip.click()
        expect(skip).to_have_count(0)


def photograph_dagster(browser: Browser, address: str, folder: Path) -> None:
    """Take the pictures of the web interface."""
    page = browser.new_page(viewport=VIEWPORT)
    page.set_default_timeout(WAIT_MILLISECONDS)
    asset = f"{address}/assets/raw/disk"

    opened = "%2C".join(f"global%40global%3A{group}" for group in ("features", "graph", "simulation"))
    open_page(page, f"{address}/asset-groups?expanded={opened}")
    show_whole_graph(page)
    _shoot(page, folder / "asset-graph.png")

    open_page(page, asset)
    page.get_by_text("filesystem_id").wait_for()
    _shoot(page, folder / "asset-page.png")

    open_page(page, f"{asset}?view=partitions&partition={clock.today().isoformat()}")
    page.get_by_text("dagster/partition_row_count").wait_for()
    _shoot(page, folder / "asset-partitions.png")

    open_page(page, f"{asset}?view=checks&checkDetail=great_expectations_suite")
    page.get_by_text("Evaluation result").wait_for()
    _shoot(page, folder / "asset-checks.png")

    open_page(page, f"{address}/assets/graph/layout?view=partitions&partition={clock.today().isoformat()}")
    page.get_by_text("picture_sim-demo").wait_for()
    page.get_by_text("Show Markdown").first.click()
    _shoot(page, folder / "network.png")

    open_page(page, f"{address}/runs")
    page.get_by_text("close_day").first.wait_for()
    _shoot(page, folder / "runs.png")
    page.close()


def show_whole_graph(page: Page) -> None:
    """Zoom out until the opened groups fit."""
    page.get_by_text("simulation", exact=True).first.wait_for()
    page.wait_for_timeout(3000)
    page.mouse.move(960, 504)
    page.keyboard.down("Control")
    for _ in range(ZOOM_STEPS):
        page.mouse.wheel(0, 60)
        page.wait_for_timeout(300)
    page.keyboard.up("Control")


def _shoot(page: Page, path: Path) -> None:
    # Rows and badges fade in after their text is there.
    page.wait_for_timeout(1500)
    page.screenshot(path=path)
    print(path)


def photograph_status(browser: Browser, options: list[str], path: Path) -> None:
    """Take the picture of `nomade status` as a terminal shows it."""
    from rich.console import Console
    from rich.terminal_theme import TerminalTheme
    from rich.text import Text

    theme = TerminalTheme(
        (27, 31, 39),
        (216, 222, 233),
        [
            (59, 66, 82),
            (224, 108, 117),
            (152, 195, 121),
            (229, 192, 123),
            (97, 175, 239),
            (198, 120, 221),
            (86, 182, 194),
            (216, 222, 233),
        ],
    )
    console = Console(record=True, width=120, file=open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    console.print(Text.from_ansi(on_a_terminal([*_nomade(), *options, "status"])))
    screen = console.export_html(theme=theme, code_format="{code}", inline_styles=True)
    page = browser.new_page(viewport=VIEWPORT)
    page.set_content(TERMINAL.format(prompt=escape("$ nomade status"), screen=screen.rstrip()))
    page.locator("main").screenshot(path=path)
    page.close()
    print(path)


def on_a_terminal(argv: list[str]) -> str:
    """Run a command on a pseudo-terminal and return what it shows."""
    parent, child = pty.openpty()
    environment = {**os.environ, "COLUMNS": "100", "LINES": "60", "TERM": "xterm-256color"}
    process = subprocess.Popen(argv, stdin=child, stdout=child, stderr=child, env=environment)
    os.close(child)
    shown = b""
    try:
        while block := os.read(parent, 65536):
            shown += block
    except OSError:
        # Linux reports the end of a terminal as an I/O error.
        pass
    os.close(parent)
    if process.wait() != 0:
        raise SystemExit(f"{' '.join(argv)} ended with status {process.returncode}: {shown.decode(errors='replace')}")
    return shown.decode("utf-8", "replace").replace("\r\n", "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES)
