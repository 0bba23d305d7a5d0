# SPDX-License-Identifier: Apache-2.0
"""`forescale laws [ID]`, `forescale laws --papers`."""

from __future__ import annotations

from textwrap import shorten
from typing import Annotated

import typer

from forescale.cli._shell import JSON, emit, say, table


def register(app: typer.Typer, summary: str) -> None:
    """Add the command."""

    @app.command("laws", help=summary + "\n\nExample: forescale laws chinchilla")
    def laws(
        law: Annotated[str | None, typer.Argument(help="A law to explain.")] = None,
        papers: Annotated[
            bool, typer.Option("--papers", help="Show the papers (of the law), and where each works.")
        ] = False,
        as_json: JSON = False,
    ) -> None:
        from forescale import api
        from forescale.laws import facts

        if papers:
            found_papers = api.papers(law)
            if as_json:
                emit("papers", {"papers": [paper.to_dict() for paper in found_papers]})
                return
            lines = [
                (work.key, _short(work.title, 60), str(work.year), _short(paper.where, 90))
                for paper, work in ((paper, paper.reference) for paper in found_papers)
            ]
            say(table(("key", "paper", "year", "where it works"), lines))
            say("\nPaths are below forescale/; --json has whole titles, links, places, and what is missing.")
            return
        if law is None:
            if as_json:
                emit("laws", {"laws": [facts(value) for value in api.catalogue().values()]})
                return
            for topic, rows in api.shelf().items():
                say(f"{topic}\n\n" + table(("law", "predicts", "what it is"), rows))
                say()
            say("forescale laws ID explains one; law:source names published constants (chinchilla:besiroglu2024).")
            return
        kind, content = api.explained(law)
        if as_json:
            emit(kind, content)
        else:
            say(content["text"])


def _short(text: str, width: int) -> str:
    return shorten(text, width, placeholder=" ...")
