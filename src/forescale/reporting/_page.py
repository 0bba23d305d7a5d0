# SPDX-License-Identifier: Apache-2.0
"""What every page is made with: templates, the style sheet, and a policy that forbids all else."""

from __future__ import annotations

import base64
import hashlib
import os
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from forescale.core import cite
from forescale.core.errors import InputError
from forescale.core.files import write_atomic
from forescale.reporting.charts._data import tame


@dataclass(frozen=True)
class Report:
    """A page: `html`, and `save(path)`."""

    html: str

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page, all or nothing; returns its path."""
        return write_atomic(path, self.html)

    def _repr_html_(self) -> str:
        framed = Markup.escape(self.html)
        return f'<iframe srcdoc="{framed}" style="width:100%;height:80vh;border:1px solid #ccc" sandbox=""></iframe>'

    def __repr__(self) -> str:
        return f"Report({len(self.html):,} characters; save it with .save('report.html'))"


ABOUT_A_FIT = ("report.html", "stack.html")


@cache
def template(name: str) -> jinja2.Template:
    """A page's template, with the macros that all share, and between the top and the bottom of pages about a fit."""
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_tamed,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    around = ("top.html", name, "bottom.html") if name in ABOUT_A_FIT else (name,)
    return environment.from_string("".join(resource(part) for part in ("macros.html", *around)))


def _tamed(value: Any) -> Any:
    """Every text that enters the page, without characters that hide or reverse others."""
    return tame(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def resource(name: str) -> str:
    """A file of `templates/`."""
    return resources.files("forescale.reporting").joinpath("templates", name).read_text(encoding="utf-8")


def policy(style: str) -> str:
    """The content policy: nothing but the page's own style sheet."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def cited(key: str) -> tuple[str, str]:
    """A short citation and its link; data sets carry their citation as text."""
    try:
        return cite.short(key), cite.reference(key).link
    except InputError:
        return key, ""
