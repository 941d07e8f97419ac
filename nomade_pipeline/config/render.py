"""Writing a configuration as TOML: the effective one, and the example with every key explained."""

from __future__ import annotations

from typing import Any, Iterator, Tuple

from nomade_pipeline.config.keys import Key, keys_of, shown, subsections_of
from nomade_pipeline.config.settings import Config
from nomade_pipeline.config.toml import to_literal

_WIDTH = 100


def sections(section: Any, path: Tuple[str, ...] = ()) -> Iterator[Tuple[Tuple[str, ...], Any]]:
    """Yield every section with its path, outer ones first."""
    for name in subsections_of(section):
        inner = getattr(section, name)
        yield (*path, name), inner
        yield from sections(inner, (*path, name))


def to_toml(config: Config) -> str:
    """Render the effective configuration; reading it back gives the same values, but for secrets."""
    blocks = []
    for path, section in sections(config):
        lines = [
            f"{each.name} = {to_literal(shown(getattr(section, each.name), about))}" for each, about in keys_of(section)
        ]
        if lines:
            blocks.append("\n".join([f"[{'.'.join(path)}]", *lines]))
    return "\n\n".join(blocks) + "\n"


def describe(config: Config) -> str:
    """Render the effective configuration for a person: where it comes from, then every value."""
    source = str(config.source) if config.source is not None else "no file, defaults and environment only"
    warnings = "".join(f"# warning: {warning}\n" for warning in config.warnings)
    return f"# from {source}\n{warnings}\n{to_toml(config)}"


_EXAMPLE_HEAD = """\
# nomade.toml: every key with its default. A line that is commented out changes nothing.
# Found at: --config, $NOMADE_CONFIG, ./nomade.toml, ~/.config/nomade/nomade.toml, /etc/nomade/nomade.toml.
# NOMADE_SECTION__KEY in the environment overrides a key, e.g. NOMADE_COLLECTORS__DISK__INTERVAL=300.
# A running agent and the pipeline pick a changed file up; a broken one changes nothing and is reported.
"""


def example() -> str:
    """Render the example file from the settings."""
    blocks = [_EXAMPLE_HEAD]
    for path, section in sections(Config()):
        lines = [line for each, about in keys_of(section) for line in _explained(each.name, each.default, about)]
        if lines:
            blocks.append("\n".join([f"[{'.'.join(path)}]", *lines]) + "\n")
    return "\n".join(blocks)


def _explained(name: str, default: Any, about: Key) -> list[str]:
    import textwrap

    effect = about.effect if about.is_live else f"{about.effect} ({about.consumer})"
    return [*(f"# {line}" for line in textwrap.wrap(effect, _WIDTH - 2)), f"# {name} = {to_literal(default)}"]
