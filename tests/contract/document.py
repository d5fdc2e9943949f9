"""The founding document, read: its sections, fenced blocks and list items, and which were used.

Whoever reads a block or an item takes it; `Document.untaken` tells what nobody has taken. Tests
take what they hold when their module is imported, so that the answer hangs on no order.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Test = TypeVar("Test")

END = "Prochaines Étapes (Post-Phase 4)"

_HEADING = re.compile(r"(#+) (.+)")
_ITEM = re.compile(r"\s*(?:[-*]|\d+\.) (.+)")
_FENCE = "```"


@dataclass(frozen=True)
class Block:
    """A fenced block: the line that it begins on, its language ("" for none) and its text."""

    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        """What the block is known by: its first line."""
        return self.text.partition("\n")[0]


@dataclass(frozen=True)
class Item:
    """One entry of a list, of any depth."""

    line: int
    text: str

    @property
    def name(self) -> str:
        """What the item is known by: its text."""
        return self.text


@dataclass
class Section:
    """What stands between a heading and the next; `path` has the headings above it as well."""

    path: tuple[str, ...]
    taken: set[int] = field(repr=False)
    blocks: list[Block] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)

    @property
    def title(self) -> str:
        """The section's own heading."""
        return self.path[-1]

    def texts(self, language: str) -> list[str]:
        """Take every block of the language; there has to be one."""
        found = [block for block in self.blocks if block.language == language]
        if not found:
            raise LookupError(f"no {language or 'plain'} block in {self.title!r}")
        self.taken.update(block.line for block in found)
        return [block.text for block in found]

    def text(self, language: str = "") -> str:
        """Take the only block of the language."""
        [text] = self.texts(language)
        return text.strip()

    def json(self) -> list[Any]:
        """Take every JSON block, decoded."""
        return [json.loads(text) for text in self.texts("json")]

    def matches(self, pattern: str) -> list[re.Match[str]]:
        """Take every item that the pattern is found in; there has to be one."""
        found = [(item, re.search(pattern, item.text)) for item in self.items]
        hits = [(item, match) for item, match in found if match]
        if not hits:
            raise LookupError(f"no item like {pattern!r} in {self.title!r}")
        self.taken.update(item.line for item, _ in hits)
        return [match for _, match in hits]

    def match(self, pattern: str) -> re.Match[str]:
        """Take the only item that the pattern is found in."""
        [match] = self.matches(pattern)
        return match

    def holds(self, pattern: str) -> Callable[[Test], Test]:
        """Take the only item that the pattern is found in, for the test that is decorated."""
        self.match(pattern)
        return lambda test: test

    def number(self, pattern: str) -> int:
        """Take the only item that the pattern is found in; return the number in its group."""
        return int(self.match(pattern)[1])


@dataclass
class Document:
    """The whole document; sections in order."""

    sections: list[Section] = field(default_factory=list)
    taken: set[int] = field(default_factory=set)

    @classmethod
    def parse(cls, text: str) -> Document:
        """Read Markdown with ATX headings, backtick fences and lists; refuse tables."""
        document = cls()
        path: list[tuple[int, str]] = []
        section = document._add(("",))
        lines = iter(enumerate(text.splitlines(), start=1))
        for number, line in lines:
            heading, item = _HEADING.fullmatch(line), _ITEM.fullmatch(line)
            if line.startswith(_FENCE):
                section.blocks.append(_read_block(number, line, lines))
            elif heading:
                level = len(heading[1])
                path = [(depth, title) for depth, title in path if depth < level]
                path.append((level, heading[2]))
                section = document._add(tuple(title for _, title in path))
            elif item:
                section.items.append(Item(number, item[1]))
            elif line.lstrip().startswith("|"):
                raise ValueError(f"line {number} is a table, which this reader does not know")
        return document

    def section(self, *titles: str) -> Section:
        """Return the only section with the last title below the others."""
        [section] = [
            section
            for section in self.sections
            if section.path[-1:] == titles[-1:] and set(titles) <= set(section.path)
        ]
        return section

    def below(self, title: str) -> list[Section]:
        """Return the sections below a heading, in order."""
        return [section for section in self.sections if title in section.path[:-1]]

    def before(self, title: str) -> list[Section]:
        """Return the sections above a heading, in order."""
        end = self.sections.index(self.section(title))
        return self.sections[:end]

    def untaken(self) -> dict[str, int]:
        """Return the blocks and items of the contract that nobody took, with their lines."""
        parts: list[Block | Item] = []
        for section in self.before(END):
            parts += [*section.blocks, *section.items]
        return {part.name: part.line for part in parts if part.line not in self.taken}

    def _add(self, path: tuple[str, ...]) -> Section:
        section = Section(path, self.taken)
        self.sections.append(section)
        return section


def _read_block(start: int, fence: str, lines: Any) -> Block:
    """Read on to the closing fence."""
    text: list[str] = []
    for _, line in lines:
        if line == _FENCE:
            return Block(start, fence.removeprefix(_FENCE), "\n".join(text))
        text.append(line)
    raise ValueError(f"the block on line {start} has no end")


def code_lines(text: str) -> list[tuple[str, str]]:
    """Return (code, comment) of each line that has code; comments begin with `#`."""
    split = (line.partition("#") for line in text.splitlines())
    return [(code.strip(), comment.strip()) for code, _, comment in split if code.strip()]


PATH = Path(__file__).with_name("seed.md")
SEED = Document.parse(PATH.read_text(encoding="utf-8"))
