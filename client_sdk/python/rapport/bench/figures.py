"""How measurements are told: median and range, and whether a bar was kept."""

import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from typing import TypedDict

__all__ = ["Spread", "print_json", "spread"]


class Spread(TypedDict):
    """Median and range over the rounds."""

    median: float
    min: float
    max: float


def spread(values: Sequence[float]) -> Spread:
    """Of at least one value, to four places."""
    return {
        "median": round(statistics.median(values), 4),
        "min": round(min(values), 4),
        "max": round(max(values), 4),
    }


def print_json(report: Mapping[str, object]) -> None:
    """The report as one JSON object on standard output."""
    sys.stdout.write(json.dumps(report, indent=2) + "\n")
