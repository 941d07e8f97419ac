"""What README and manual say is so: links, commands, options, keys, paths, queries, examples."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from support.rows import data_of, reading_of, spool

from nomade_pipeline import clock
from nomade_pipeline.cli.lazy import ALIASES, COMMANDS
from nomade_pipeline.cli.main import cli
from nomade_pipeline.config.load import load_config
from nomade_pipeline.config.paths import DataPaths
from nomade_pipeline.config.render import sections
from nomade_pipeline.config.settings import Config
from nomade_pipeline.config.validate import validate
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.catalog import RAW_TABLES
from nomade_pipeline.tables.system import DISK

REPOSITORY = Path(__file__).resolve().parents[2]
MANUAL = sorted((REPOSITORY / "docs").glob("*.md"))
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *MANUAL]
EXAMPLE = REPOSITORY / "docs" / "adding-a-collector.md"

FENCE = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]+)?\)")
FOLDERS = ("nomade_pipeline", "assets", "jobs", "sensors", "deploy", "docs", "scripts", "benchmarks", "tests")
VARIABLE = re.compile(r"\bNOMADE_[A-Z_]+?__[A-Z_]+[A-Z]\b")

pages = pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(REPOSITORY)) for page in PAGES])


def blocks(page: Path, *languages: str) -> list[str]:
    """Return the fenced blocks in one of some languages."""
    return [body for language, _, body in FENCE.findall(page.read_text(encoding="utf-8")) if language in languages]


def inline(page: Path) -> list[str]:
    """Return the code that stands within sentences."""
    return INLINE.findall(FENCE.sub("", page.read_text(encoding="utf-8")))


def nomade_calls(line: str) -> list[list[str]]:
    """Return the arguments of every `nomade` that a line of shell runs, alone, in a pipe or through sudo."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    parts: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set("();<>|&"):
            parts.append([])
        else:
            parts[-1].append(word)
    calls = []
    for part in parts:
        words = itertools.dropwhile(lambda word: re.fullmatch(r"do|[A-Z_]+=.*", word), part)
        words = list(words)
        words = words[3:] if words[:2] == ["sudo", "-u"] else words
        if words and words[0].rpartition("/")[2] == "nomade":
            calls.append(words[1:])
    return calls


def commands_of(page: Path) -> list[list[str]]:
    """Return the arguments of every `nomade` in the shell blocks and screens of a page."""
    lines = [line for block in blocks(page, "bash", "sh") for line in block.splitlines()]
    lines += [line[2:] for block in blocks(page, "text") for line in block.splitlines() if line.startswith("$ ")]
    return [call for line in lines if "nomade" in line for call in nomade_calls(line)]


def check_call(arguments: list[str]) -> str | None:
    """Return what click has against a call; files need not exist."""
    command: click.Command = cli
    context = click.Context(cli, info_name="nomade")
    rest = list(arguments)
    while True:
        try:
            _, rest, _ = command.make_parser(context).parse_args(list(rest))
        except click.UsageError as error:
            return error.format_message()
        if not isinstance(command, click.Group) or not rest:
            break
        inner = command.get_command(context, rest[0])
        if inner is None:
            return f"no command {rest[0]}"
        command, context, rest = inner, click.Context(inner, context, info_name=rest[0]), rest[1:]
    surplus = [word for word in rest if word not in ("…", "...")]
    return f"surplus: {surplus}" if surplus and not isinstance(command, click.Group) else None


@pages
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    for target, _ in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pages
def test_every_command_and_option_of_an_example_exists(page: Path) -> None:
    faults = [(call, fault) for call in commands_of(page) if (fault := check_call(call)) is not None]
    assert not faults


@pages
def test_every_command_and_option_named_in_a_sentence_exists(page: Path) -> None:
    for text in inline(page):
        words = text.split()
        if words[:1] != ["nomade"] or len(words) == 1 or words[1] == "…":
            continue
        names = [word for word in words[1:] if re.fullmatch(r"[a-z]+", word)]
        options = {word.split("=")[0] for word in words[1:] if re.fullmatch(r"--?[a-z][a-z-]*(=\S+)?", word)}
        known = {option for parameter in cli.params for option in (*parameter.opts, *parameter.secondary_opts)}
        if names:
            assert names[0] in COMMANDS or names[0] in ALIASES, f"{page.name}: `{text}`"
            command = cli.get_command(click.Context(cli), names[0])
            assert command is not None
            if isinstance(command, click.Group) and names[1:2] and names[1] in command.commands:
                command = command.commands[names[1]]
            known |= {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        assert options <= known | {"--help", "-h"}, f"{page.name}: `{text}`"


def test_a_wrong_command_or_option_would_be_found() -> None:
    assert check_call(["collect", "--twice"]) is not None
    assert check_call(["colect"]) is not None
    assert check_call(["disk", "/", "--hours", "24"]) is None
    assert nomade_calls('a | sudo -u x /opt/nomade/bin/nomade sql "SELECT 1; SELECT 2" -o f && nomade stop') == [
        ["sql", "SELECT 1; SELECT 2", "-o", "f"],
        ["stop"],
    ]


@pages
def test_every_make_target_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    lines = [line for block in blocks(page, "bash", "sh") for line in block.splitlines()] + inline(page)
    named = {match for line in lines for match in re.findall(r"^(?:[A-Z_]+=\S+ )?make ([a-z]+)", line)}
    assert named <= targets


@pages
def test_every_file_of_the_repository_that_is_named_exists(page: Path) -> None:
    made_by_the_page = set(re.findall(r'title="([^"]+)"', page.read_text(encoding="utf-8")))
    for text in inline(page):
        if text.split("/")[0] in FOLDERS and re.fullmatch(r"[\w./-]+/[\w./-]*", text):
            assert (REPOSITORY / text).exists() or text in made_by_the_page, f"{page.name} names {text}"


def config_keys() -> set[str]:
    return {".".join((*path, name)) for path, section in sections(Config()) for name in section.__dataclass_fields__}


@pages
def test_every_configuration_key_exists(page: Path) -> None:
    known = config_keys()
    named = [".".join(match) for text in inline(page) for match in re.findall(r"^\[([a-z_.]+)\] ([a-z_]+)$", text)]
    named += [match for text in inline(page) for match in re.findall(r"^\[([a-z_.]+)\]$", text)]
    variables = [match.removeprefix("NOMADE_") for match in VARIABLE.findall(page.read_text(encoding="utf-8"))]
    named += [name.lower().replace("__", ".") for name in variables if name != "SECTION__KEY"]
    parents = {".".join(path) for path, _ in sections(Config())}
    assert {name for name in named if name not in known | parents} == set()


@pages
def test_every_example_of_a_configuration_is_valid(page: Path) -> None:
    # Entries of alerts.toml are read by tests/unit/alerts.
    for block in (block for block in blocks(page, "toml") if not block.startswith("[[")):
        _, problems = validate(tomllib.loads(block), strict=True)
        assert problems == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with every raw table, of `/scratch` for one: three closed days and the open one."""
    from nomade_pipeline.ingest.day import publish_day
    from nomade_pipeline.ingest.rollup import roll_up_day

    root = tmp_path_factory.mktemp("data")
    store = Store.at(root)
    now = clock.now()
    for back in range(4):
        moment = now - timedelta(days=back)
        for table in RAW_TABLES:
            own = {"path": "/scratch"} if table is DISK else {}
            spool(store.spool, reading_of(table, moment, data_of(table, **own)))
            publish_day(store, table, moment.date())
            if back:
                store.lake.close_day(table, "alpha", moment.date())
        roll_up_day(store, moment.date())
    return root


def queries() -> list[str]:
    """Return every query of the manual, but for those of the table that the worked example makes."""
    pages = [page for page in PAGES if page != EXAMPLE]
    return [call[1] for page in pages for call in commands_of(page) if call[:1] == ["sql"] and len(call) > 1]


@pytest.mark.parametrize("query", [query for query in queries() if query not in ("-", "SELECT …")])
def test_every_query_of_the_manual_runs(query: str, folder: Path) -> None:
    from nomade_pipeline.sql import run

    run(DataPaths(folder), query)


@pytest.mark.parametrize(
    "code",
    # The blocks of docs/queries.md and docs/python.md build on each other: tests/integration/test_first_queries.py runs
    # the one as a whole, the tests below the other.
    [
        block
        for page in (REPOSITORY / "README.md", *MANUAL)
        if page.name not in (EXAMPLE.name, "queries.md", "python.md")
        for block in blocks(page, "python")
    ],
)
def test_every_python_example_runs_and_reads_closed_days_only(
    code: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOMADE_CONFIG", raising=False)
    monkeypatch.setenv("NOMADE_GENERAL__DATA_DIR", str(folder))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nomade.toml").touch()
    names: dict[str, Any] = {}
    exec(code.replace("/var/lib/nomade", str(folder)), names)
    frame = names.get("frame")
    if frame is not None and "date" in frame.columns:
        assert len(frame) == 3, "the closed days and not the open one"


def test_the_page_on_python_runs_as_a_whole(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOMADE_GENERAL__DATA_DIR", str(folder))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nomade.toml").touch()
    exec("\n".join(blocks(REPOSITORY / "docs" / "python.md", "python")), {})


def apply_example(to: Path) -> None:
    """Copy the source and do to it what the page on new collectors says."""
    for name in ("nomade_pipeline", "assets", "jobs", "sensors"):
        shutil.copytree(REPOSITORY / name, to / name, ignore=shutil.ignore_patterns("__pycache__"))
    for language, rest, body in FENCE.findall(EXAMPLE.read_text(encoding="utf-8")):
        title = re.search(r'title="([^"]+)"', rest)
        if title is None:
            continue
        path = to / title.group(1)
        path.parent.mkdir(parents=True, exist_ok=True)
        if language == "python":
            path.write_text(body, encoding="utf-8")
            continue
        assert language == "diff"
        lines = [line or " " for line in body.splitlines()]
        old, new = ("".join(f"{line[1:]}\n" for line in lines if line[0] in f" {mark}") for mark in "-+")
        source = path.read_text(encoding="utf-8")
        assert source.count(old) == 1, f"{title.group(1)} is not as the page says:\n{old}"
        path.write_text(source.replace(old, new), encoding="utf-8")


def test_the_worked_example_of_a_collector_works(tmp_path: Path) -> None:
    source, data = tmp_path / "source", tmp_path / "data"
    apply_example(source)
    environment = {**os.environ, "PYTHONPATH": str(source), "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("NOMADE_CONFIG", None)

    def nomade(*arguments: str) -> str:
        argv = [sys.executable, "-m", "nomade_pipeline.cli.main", "--data-dir", str(data), *arguments]
        done = subprocess.run(
            argv, cwd=source, env=environment, capture_output=True, check=False, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    (sql,) = [call for call in commands_of(EXAMPLE) if call[0] == "sql"]
    for call in commands_of(EXAMPLE):
        nomade(*call)
    assert ",".join(nomade(*sql, "--format", "csv").splitlines()[0:1]) == "host,load_1min,tasks"
    assert "load_15min" in nomade("sql", "SELECT DISTINCT metric FROM hourly", "--format", "csv")
    own = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(source)]
    done = subprocess.run(
        [*own, "tests/unit/collectors/test_load.py"],
        cwd=source,
        env=environment,
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout


def test_every_page_of_the_manual_is_in_its_contents() -> None:
    text = (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8")
    content = yaml.safe_load(text)

    def leaves(entry: object) -> set[str]:
        if isinstance(entry, dict):
            return set().union(*(leaves(value) for value in entry.values()))
        return set().union(*map(leaves, entry)) if isinstance(entry, list) else {str(entry)}

    assert leaves(content["nav"]) == {page.name for page in MANUAL}
    assert content["theme"]["font"] is False
    assert "http" not in text.replace("https://", "http://").split("nav:")[0].replace("http://localhost", "")


def test_the_manual_builds_without_a_warning_and_asks_no_foreign_server(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(
        argv,
        cwd=REPOSITORY,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        check=False,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    fetched = re.compile(
        r'<(?:script|img|iframe)[^>]+src="(https?:[^"]+)"'
        r'|<link[^>]+rel="(?:stylesheet|preconnect)"[^>]+href="(https?:[^"]+)"'
    )
    for page in (tmp_path / "site").glob("*.html"):
        assert fetched.findall(page.read_text(encoding="utf-8")) == [], page.name


def test_the_citation_names_what_the_work_rests_on() -> None:
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert citation["cff-version"] == "1.2.0"
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    cited = {
        (author.get("family-names"), each["year"]) for each in citation["references"] for author in each["authors"]
    }
    assert {("Tonini", 2026), ("Vilhena", 2015), ("Antonelli", 2015)} <= cited


def test_the_example_configuration_of_the_errors_gives_the_errors_shown(tmp_path: Path) -> None:
    from nomade_pipeline.config.load import ConfigError

    (shown,) = [block for block in blocks(REPOSITORY / "docs" / "configuration.md", "text") if "broken.toml" in block]
    path = tmp_path / "broken.toml"
    path.write_text('[general]\ncluster_nam = "alpha"\n\n[collectors.disk]\ninterval = "often"\n')
    with pytest.raises(ConfigError) as caught:
        load_config(path, {})
    expected = [line.strip() for line in shown.splitlines() if line.startswith("  ")]
    assert [problem.replace(str(path), "broken.toml") for problem in caught.value.problems] == expected
