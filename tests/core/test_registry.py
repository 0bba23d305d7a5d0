# SPDX-License-Identifier: Apache-2.0
"""One member of a room can be had without importing the others."""

from __future__ import annotations

import json
import subprocess
import sys

from forescale.core.registry import discover, seek
from forescale.laws import Law

LOOK = """
import json, sys
from forescale.laws import find
find("chinchilla")
print(json.dumps([name for name in sys.modules if name.startswith("forescale.laws.") and "._" not in name]))
"""


def test_a_law_costs_its_own_module() -> None:
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == ["forescale.laws.chinchilla"]


def test_seek_finds_what_discover_finds() -> None:
    known = discover("forescale.laws", Law, plugins=False)
    for name, entry in known.items():
        assert seek("forescale.laws", Law, name) in (entry.value, None)
    assert seek("forescale.laws", Law, "chinchilla") is known["chinchilla"].value
    assert seek("forescale.laws", Law, "no-such-law") is None
