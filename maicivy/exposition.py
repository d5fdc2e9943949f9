"""The metrics of several workers, added up from the files into which each writes its own.

The files are those of prometheus_client's multiprocess mode, one set for each slot rather than for
each process: a worker that is started again goes on where its predecessor stopped, so counters
never go down and the number of files is bounded. They are read here and not by the library's
collector, which takes ten times as long.
"""

from __future__ import annotations

import functools
import json
import os
import struct
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import values as client_values
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import mark_process_dead
from prometheus_client.utils import floatToGoString

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from prometheus_client import Metric

# More than there can be, labels at their bounds.
KEYS_KEPT = 50_000
USED = struct.Struct("i")


class Sample(NamedTuple):
    """What a value belongs to: `head` is its line but for the number.

    A bucket of a histogram has a `bound`; `labels` are as they are written, without `le`.
    """

    family: str
    head: str
    labels: str
    label_values: tuple[str, ...]
    bound: float | None


class _Layout(NamedTuple):
    """What stands where in the first `used` bytes of a file, in which nothing ever moves."""

    used: int
    keys: list[str]
    values: struct.Struct


class Files:
    """The files of one folder; what is known of where their values stand is kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._layouts: dict[tuple[str, int], _Layout] = {}

    def read(self, pattern: str = "*.db") -> dict[str, float]:
        """Return all values by key, those of one key put together as their files' names say.

        The names are `counter_<slot>.db`, `histogram_<slot>.db` and `gauge_<way>_<slot>.db`.
        """
        merged: dict[str, float] = {}
        latest: dict[str, float] = {}
        for file in sorted(self._folder.glob(pattern)):
            way = file.stem.split("_")[-2]
            if way == "mostrecent":
                for key, value, set_at in self._entries(file):
                    if set_at >= latest.get(key, 0.0):
                        merged[key], latest[key] = value, set_at
            elif way in {"livemin", "max"}:
                choose = max if way == "max" else min
                for key, value, _ in self._entries(file):
                    merged[key] = choose(merged.get(key, value), value)
            else:
                for key, value, _ in self._entries(file):
                    merged[key] = merged.get(key, 0.0) + value
        return merged

    def _entries(self, file: Path) -> Iterable[tuple[str, float, float]]:
        """Return key, value and time of setting; the live gauges of a dead worker may be gone."""
        try:
            with file.open("rb") as opened:
                inode = os.fstat(opened.fileno()).st_ino
                data = opened.read()
            layout = self._layout(file, inode, USED.unpack_from(data)[0])
        except FileNotFoundError:
            return ()
        numbers = layout.values.unpack_from(data)
        return zip(layout.keys, numbers[::2], numbers[1::2], strict=True)

    def _layout(self, file: Path, inode: int, used: int) -> _Layout:
        """Return what stands where, looking again only when there is more than before."""
        known = self._layouts.get((file.name, inode))
        if known is None or known.used != used:
            known = self._layouts[file.name, inode] = _laid_out(file, used)
        return known


def _laid_out(file: Path, used: int) -> _Layout:
    keys, parts, end = [], ["="], 0
    entries = MmapedDict.read_all_values_from_file(file)  # type: ignore[no-untyped-call]
    for key, _, _, position in entries:
        if position < used:
            keys.append(key)
            parts.append(f"{position - end}xdd")
            end = position + 16
    return _Layout(used, keys, struct.Struct("".join(parts)))


def write_into(folder: Path, slot: int) -> None:
    """Have every metric that is made from now on keep its values in the files of `slot`."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    by_slot = client_values.MultiProcessValue(lambda: slot)  # type: ignore[no-untyped-call]
    client_values.ValueClass = by_slot


def close() -> None:
    """Let go of the files into which metrics were written; none may be touched any more."""
    client_values.close_all_multiprocess_files()  # type: ignore[no-untyped-call]


def forget_live(folder: Path, slot: int) -> None:
    """Forget what is true of living workers only, such as open connections, of a dead one."""
    mark_process_dead(slot, str(folder))  # type: ignore[no-untyped-call]


def render(families: Iterable[Metric], values: Mapping[str, float]) -> bytes:
    """Return `values` in Prometheus' text format, in the order of `families`."""
    samples: defaultdict[str, list[tuple[Sample, float]]] = defaultdict(list)
    for key, value in values.items():
        sample = parsed(key)
        samples[sample.family].append((sample, value))
    lines: list[str] = []
    for family in families:
        name = f"{family.name}_total" if family.type == "counter" else family.name
        lines += (f"# HELP {name} {family.documentation}", f"# TYPE {name} {family.type}")
        found = samples[family.name]
        if family.type == "histogram":
            lines += _histogram(family.name, found)
        else:
            lines += [f"{sample.head} {_number(value)}" for sample, value in found]
    return "\n".join([*lines, ""]).encode()


@functools.lru_cache(KEYS_KEPT)
def parsed(key: str) -> Sample:
    """Read the key under which the library keeps a value."""
    family, name, labels, _ = json.loads(key)
    shown = [f'{label}="{_escaped(value)}"' for label, value in labels.items()]
    bound = labels.pop("le", None)
    rest = [one for one in shown if not one.startswith('le="')]
    return Sample(
        family=family,
        head=name + _braces(shown),
        labels=_braces(rest),
        label_values=tuple(labels.values()),
        bound=None if bound is None else float(bound),
    )


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _braces(labels: list[str]) -> str:
    return f"{{{','.join(labels)}}}" if labels else ""


def _number(value: float) -> str:
    # most of them are small, and their own text will do
    return repr(value) if value < 1e6 else str(floatToGoString(value))  # type: ignore[no-untyped-call]


def _histogram(family: str, found: list[tuple[Sample, float]]) -> Iterator[str]:
    """Yield the lines of a histogram, whose buckets are kept one by one and shown added up."""
    groups: defaultdict[str, list[tuple[float, str, float]]] = defaultdict(list)
    sums: dict[str, str] = {}
    for sample, value in found:
        if sample.bound is None:
            sums[sample.labels] = f"{sample.head} {_number(value)}"
        else:
            groups[sample.labels].append((sample.bound, sample.head, value))
    for labels, buckets in groups.items():
        count = 0.0
        for _, head, value in sorted(buckets):
            count += value
            yield f"{head} {_number(count)}"
        yield f"{family}_count{labels} {_number(count)}"
        yield sums[labels]
