"""Every metric line and every PromQL expression of the document, in the live exposition."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import API, send_event
from tests.contract.conftest import visit
from tests.contract.document import SEED, code_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Client

CHAPTER = "Métriques Prometheus"
METHOD, PATH = SEED.section(CHAPTER, "Endpoint").text().split()
COMPONENTS = SEED.section("Composants Principaux")
EXPOSED_AT = COMPONENTS.match("Exposition sur `(.+)`")[1]


class Series(NamedTuple):
    """One line: the sample's name and its labels; `kind` is the type of its family."""

    name: str
    labels: frozenset[tuple[str, str]]
    kind: str


def read_series(text: str, kind: str | None = None) -> Iterator[tuple[Series, float]]:
    """Yield the series of an exposition with their values; `kind` overrides its types."""
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = frozenset(sample.labels.items())
            yield Series(sample.name, labels, kind or family.type), sample.value


def _documented() -> list[Series]:
    found = []
    for section in SEED.below("Métriques Custom"):
        kind = section.title.lower().removesuffix("s")
        for line, _ in code_lines(section.text("prometheus")):
            [(series, _)] = read_series(f"{line}\n", kind)
            found.append(series)
    return found


DOCUMENTED = _documented()


def _expressions(text: str) -> Iterator[str]:
    """Yield each expression of a block; one goes on while a parenthesis is open."""
    expression = ""
    for code, _ in code_lines(text):
        expression += code
        if expression.count("(") == expression.count(")"):
            yield expression
            expression = ""


EXPRESSIONS = [
    expression
    for section in SEED.sections
    if any(block.language == "promql" for block in section.blocks)
    for expression in _expressions(section.text("promql"))
]


async def replay(client: Client) -> dict[Series, float]:
    """Cause every documented series once; return what is exposed then."""
    for page in ("/cv?theme=backend", "/letters"):
        await visit(client, page)
    await send_event(client, "button_click")
    await send_event(client, "cv_theme_change", event_data={"theme": "fullstack"})
    for letter_type in ("motivation", "anti_motivation"):
        await send_event(client, "letter_generate", event_data={"letter_type": letter_type})
    for question in ("realtime", "stats?period=day", "timeline"):
        assert (await client.get(f"{API}/{question}")).status == 200
    async with client.ws_connect("/ws/analytics"):
        response = await client.request(METHOD, PATH)
        assert response.status == 200
        return dict(read_series(await response.text()))


@COMPONENTS.holds("Compteurs, Gauges, Histogrammes")
def test_every_line_was_read() -> None:
    assert len(DOCUMENTED) == 17
    assert len(EXPRESSIONS) == 12
    assert {series.kind for series in DOCUMENTED} == {"counter", "gauge", "histogram"}
    assert EXPOSED_AT == PATH


async def test_every_line_is_exposed_with_its_type_and_labels(seed_client: Client) -> None:
    exposed = await replay(seed_client)
    assert [series for series in DOCUMENTED if series not in exposed] == []
    for documented in DOCUMENTED:
        names = {name for name, _ in documented.labels}
        for series in exposed:
            if series.name == documented.name:
                assert {name for name, _ in series.labels} == names


async def test_every_line_is_live(seed_client: Client) -> None:
    exposed = await replay(seed_client)
    idle = {series: exposed[series] for series in DOCUMENTED if not exposed[series]}
    assert not idle
    values = {
        (series.name, *sorted(value for _, value in series.labels)): exposed[series]
        for series in DOCUMENTED
        if series.kind != "histogram"
    }
    assert values == {
        ("maicivy_visitors_total",): 1,
        ("maicivy_letters_generated_total", "motivation"): 1,
        ("maicivy_letters_generated_total", "anti_motivation"): 1,
        ("maicivy_events_total", "page_view"): 2,
        ("maicivy_events_total", "button_click"): 1,
        ("maicivy_page_views_total", "/cv"): 1,
        ("maicivy_page_views_total", "/letters"): 1,
        ("maicivy_current_visitors",): 1,
        ("maicivy_websocket_connections",): 1,
        ("maicivy_conversion_rate",): 2,
        ("maicivy_cv_theme_views", "backend"): 1,
        ("maicivy_cv_theme_views", "fullstack"): 1,
    }


async def test_every_expression_finds_its_series(seed_client: Client) -> None:
    exposed = await replay(seed_client)
    for expression in EXPRESSIONS:
        named = re.findall(r"\bmaicivy_\w+", expression)
        assert named, expression
        grouped = set(re.findall(r"\w+", " ".join(re.findall(r"\bby \(([^)]*)\)", expression))))
        needed = grouped | ({"le"} if "histogram_quantile" in expression else set())
        for metric in named:
            found = [series for series in exposed if series.name == metric]
            assert found, expression
            assert all(needed <= set(dict(series.labels)) for series in found), expression
            counts = found[0].kind == "counter" or metric.endswith("_bucket")
            assert counts == bool(re.search(rf"\brate\({metric}\b", expression)), expression
