"""Labels are bounded, and what has no label of its own is counted as other."""

from __future__ import annotations

from maicivy.labels import OTHER, BoundedLabel
from maicivy.metrics import Metrics


def test_the_first_hundred_values_keep_their_names() -> None:
    label = BoundedLabel()
    assert [label(str(n)) for n in range(102)] == [*map(str, range(100)), OTHER, OTHER]
    assert label("5") == "5"


def test_themes_without_a_label_are_counted_together() -> None:
    metrics = Metrics()
    for n in range(105):
        metrics.count_theme_view(f"t{n}")
        metrics.set_theme_views(f"t{n}", 10)
    value = metrics.registry.get_sample_value
    assert value("maicivy_cv_theme_views", {"theme": "t99"}) == 10
    assert value("maicivy_cv_theme_views", {"theme": OTHER}) == 5
    assert value("maicivy_cv_theme_views", {"theme": "t100"}) is None


def test_no_series_tells_when_it_was_created() -> None:
    metrics = Metrics()
    metrics.events.labels("x").inc()
    body, content_type = metrics.exposition()
    assert b"_created" not in body
    assert content_type.startswith("text/plain")
    assert b'maicivy_events_total{event_type="x"} 1.0' in body
