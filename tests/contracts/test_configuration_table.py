"""The table of keys and the example file say what the settings say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nomade_pipeline.config.document import EXAMPLE, TABLE, render_table
from nomade_pipeline.config.keys import keys_of
from nomade_pipeline.config.render import example, sections
from nomade_pipeline.config.settings import Config

REPOSITORY = Path(__file__).resolve().parents[2]
REMEDY = "run: python -m nomade_pipeline.config.document"
KEYS = [
    (f"{'.'.join(path)}.{each.name}", about) for path, section in sections(Config()) for each, about in keys_of(section)
]


def test_the_table_of_keys_is_up_to_date():
    assert (REPOSITORY / TABLE).read_text(encoding="utf-8") == render_table(), REMEDY


def test_the_example_file_is_up_to_date():
    assert (REPOSITORY / EXAMPLE).read_text(encoding="utf-8") == example(), REMEDY


@pytest.mark.parametrize(("key", "about"), KEYS, ids=[name for name, _ in KEYS])
def test_a_key_names_the_test_that_shows_its_effect_or_the_part_that_will_read_it(key, about):
    assert about.effect.endswith(".")
    if not about.is_live:
        assert about.consumer.startswith("accepted; its consumer comes with ")
        return
    file, _, test = about.test.partition("::")
    assert test, f"{key} has no test"
    assert re.search(rf"^def {test}\(", (REPOSITORY / file).read_text(encoding="utf-8"), re.MULTILINE), about.test
