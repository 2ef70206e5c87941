"""Renders the chart without Helm, which Debian does not have: `/usr/bin/python3 tests/deploy/render_chart.py CHART`.

The templates use nothing but `{{ .Values… }}` and `{{ .Release.Name }}`, so putting the values in is all there is to
it. Runs with the system's Python, whose YAML reader comes with docker-compose.
"""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any

KINDS = {"Deployment", "Service", "PodDisruptionBudget", "CronJob"}


def rendered(chart: Path, yaml: Any) -> set[str]:
    """The kinds of the objects. Raises KeyError for a value that is not there, yaml.YAMLError for what is no YAML."""
    values = {"Values": yaml.safe_load((chart / "values.yaml").read_text()), "Release": {"Name": "rapport"}}

    def value(place: re.Match[str]) -> str:
        found: Any = values
        for name in place[1].split("."):
            found = found[name]
        return str(found)

    kinds = set()
    for template in sorted((chart / "templates").glob("*.yaml")):
        text = re.sub(r"{{ \.([\w.]+) }}", value, template.read_text())
        if "{{" in text:
            raise ValueError(f"{template.name} uses more of Helm than this knows")
        for content in yaml.safe_load_all(text):
            kinds.add(content["kind"])
            if not content["metadata"]["name"].startswith("rapport"):
                raise ValueError(f"{template.name} does not name its object after the release")
    return kinds


if __name__ == "__main__":
    sys.exit(rendered(Path(sys.argv[1]), importlib.import_module("yaml")) != KINDS)
