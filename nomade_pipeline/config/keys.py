"""How a key of the configuration is declared: a dataclass field with what is known of it as metadata."""

from __future__ import annotations

from dataclasses import Field, dataclass, field, fields
from typing import Any, Iterator, Optional, Tuple

NOW = "now"
HIDDEN = "***"

# Parts of a mail address: RFC 5322's atoms, and names of hosts.
_ATOM, _LABEL = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+", r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"

# Forms of a text: a regular expression for the whole of it, and what to write, in words.
FORMS = {
    # Names of clusters and hosts become folder names and hive values (`cluster=<name>`).
    "name": (
        r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}",
        "it becomes a folder's name: up to 64 letters, digits and . _ -, a letter or digit first",
    ),
    "path": (r"/.*", "write an absolute path"),
    "folder": (r"/.*|~|~/.*", "write an absolute path, or one that begins with ~/"),
    "address": (
        rf"{_ATOM}(\.{_ATOM})*@{_LABEL}(\.{_LABEL})*",
        "write an address such as admins@example.org",
    ),
    "server": (
        r"[A-Za-z0-9:]([A-Za-z0-9.:_-]*[A-Za-z0-9])?",
        "write the name of a server; its port has a key of its own",
    ),
    "url": (r"https?://[\x21-\x3f\x41-\x7e]+", "write an address that begins with https:// or http://, without @"),
    "variable": (r"[A-Za-z_][A-Za-z0-9_]*", "write the name of an environment variable"),
    "device": (r"[^-/\s][^/\s]*", "write a kernel name such as sda or nvme0n1"),
}


@dataclass(frozen=True)
class Key:
    """What is known of one key beside its default.

    Attributes:
        effect: what the value does, for people.
        consumer: ``now``, or the part of the product that will read the key.
        test: ``path::name`` of the test that shows the effect; empty while there is no consumer.
        minimum, maximum: inclusive bounds of a number.
        choices: the closed set of a text.
        form: name of one of the `FORMS`, which a text must have unless it is empty.
        required: an empty text is refused.
        secret: the value is not shown.
    """

    effect: str
    consumer: str = NOW
    test: str = ""
    minimum: Optional[float] = None
    maximum: Optional[float] = None
    choices: Tuple[str, ...] = ()
    form: str = ""
    required: bool = False
    secret: bool = False

    @property
    def is_live(self) -> bool:
        """Whether some code reads the key today."""
        return self.consumer == NOW


def key(default: Any, effect: str, **about: Any) -> Any:
    """Declare a key with its default; ``about`` are further attributes of `Key`."""
    return field(default=default, metadata={"key": Key(effect, **about)})


def shown(value: Any, about: Key) -> Any:
    """Return the value of a key as people may see it: a secret that is set is ``***``."""
    return HIDDEN if about.secret and value else value


def keys_of(section: Any) -> Iterator[Tuple[Field[Any], Key]]:
    """Yield the fields of a section that are keys, with what is known of them."""
    for each in fields(section):
        if "key" in each.metadata:
            yield each, each.metadata["key"]


def subsections_of(section: Any) -> Iterator[str]:
    """Yield the names of the sections within a section."""
    for each in fields(section):
        factory: Any = each.default_factory
        if isinstance(factory, type):
            yield each.name
