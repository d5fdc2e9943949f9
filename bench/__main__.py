"""`python -m bench [names] [--rounds N]`: measure, keep the figures, write RESULTS.md anew."""

from __future__ import annotations

import argparse
import asyncio

from bench import (
    cleanup,
    copy,
    fanout,
    feed,
    footprint,
    importing,
    ingest,
    insights,
    limits,
    reads,
    reports,
    results,
)
from bench.scenario import Scenario

# In the order in which they are run and shown.
SCENARIOS: tuple[Scenario, ...] = (
    Scenario("ingest", "Events in, everything on, one process", ingest.measure),
    Scenario("workers", "Events in, two workers", ingest.measure_workers),
    Scenario("feed", "The seed's load: 1,000 events a minute, 50 clients watching", feed.measure),
    Scenario("cleanup", "The night: packing, and a million expired events", cleanup.measure),
    Scenario(
        "reports",
        "Reports over ten million events of 90 days, while 500 a second come in",
        reports.measure,
    ),
    Scenario(
        "insights",
        "What a dashboard asks, over a million events of 30 days",
        insights.measure,
    ),
    Scenario("redis", "Redis' copy of a million visitors in 90 days", copy.measure),
    Scenario("reads", "Answers to 50 connections, beside a bare handler", reads.measure),
    Scenario("fanout", "An event's way to many live clients", fanout.measure),
    Scenario("import", "A month's log of a web server", importing.measure),
    Scenario("limits", "What the servers alone can do", limits.measure),
    Scenario("footprint", "At rest, and after a million events", footprint.measure),
)


def main() -> None:
    """Run the named scenarios, or all."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    names = [scenario.name for scenario in SCENARIOS]
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(names)}")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each (default 5)")
    options = parser.parse_args()
    if unknown := set(options.names) - set(names):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    for scenario in SCENARIOS:
        if not options.names or scenario.name in options.names:
            print(f"{scenario.name} …", flush=True)
            results.keep(scenario, asyncio.run(scenario.measure(options.rounds)))
            results.write(SCENARIOS)


if __name__ == "__main__":
    main()
