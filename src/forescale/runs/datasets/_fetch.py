# SPDX-License-Identifier: Apache-2.0
"""Where the files of a data set are: in the package, in a mirror, in the cache, or still upstream.

Every file is checked against a SHA-256 each time it is read.
"""

from __future__ import annotations

import os
import sys
from importlib import resources
from pathlib import Path
from urllib.parse import quote, urlsplit

from forescale.core.errors import DependencyError, ReadError, message
from forescale.core.files import sha256_file, write_atomic
from forescale.runs.datasets._cards import Card, File, mirror_hashes

TIMEOUT = 30.0
"""Seconds without an answer after which a download is given up."""


def fetch(card: Card, name: str) -> Path:
    """A local path of one file of a data set.

    Raises:
        ReadError: the mirror lacks it or its content differs; the download fails or its content differs.
        DependencyError: pooch is not installed and the file is neither in a mirror nor in the cache.
    """
    file = card.file(name)
    if card.shipped:
        return _shipped(card, file)
    mirror = os.environ.get("FORESCALE_MIRROR", "").strip()
    if mirror:
        return _mirrored(card, file, Path(mirror).expanduser())
    target = cache_folder() / card.id / file.name
    if target.is_file() and _cached_hash_agrees(target, file):
        return target
    return _downloaded(card, file, target)


def cache_folder() -> Path:
    """`FORESCALE_CACHE`, or the user's cache folder of the operating system."""
    chosen = os.environ.get("FORESCALE_CACHE", "").strip()
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = str(Path.home() / "Library" / "Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "forescale"


def _shipped(card: Card, file: File) -> Path:
    folder = resources.files("forescale.runs.datasets").joinpath(card.id)
    path = Path(str(folder)) / file.name
    if not path.is_file():
        raise ReadError(
            message(
                f"the file {file.name} of {card.id} is not in this installation",
                "the data that come with the package",
                "install forescale again",
            )
        )
    return path


def _mirrored(card: Card, file: File, mirror: Path) -> Path:
    path = mirror / (card.folder or card.id) / file.name
    if not path.is_file():
        raise ReadError(
            message(
                f"FORESCALE_MIRROR={mirror} has no {card.folder or card.id}/{file.name}",
                "a folder with one folder for each data set",
                "correct FORESCALE_MIRROR, or unset it to download",
            )
        )
    expected = mirror_hashes().get(card.id, {}).get(file.name)
    seen = sha256_file(path)
    if seen not in (expected, file.sha256):
        raise ReadError(
            message(
                f"{path} has SHA-256 {seen[:16]}...",
                f"{(expected or file.sha256 or 'a known hash')[:16]}...: the copy was changed or is another version",
                "copy it again, or unset FORESCALE_MIRROR to download",
            )
        )
    return path


def _record(target: Path) -> Path:
    return target.with_name(target.name + ".sha256")


def _cached_hash_agrees(target: Path, file: File) -> bool:
    seen = sha256_file(target)
    if file.sha256:
        return seen.startswith(file.sha256)
    record = _record(target)
    return record.is_file() and record.read_text(encoding="ascii", errors="replace").strip() == seen


def _downloaded(card: Card, file: File, target: Path) -> Path:
    if card.upstream is None:
        raise ReadError(
            message(
                f"{card.id} was put together from {card.repository} by hand and cannot be downloaded",
                "a mirror that holds it",
                "set FORESCALE_MIRROR to a folder of copies",
            )
        )
    url = card.upstream.rstrip("/") + "/" + quote(file.path)
    if urlsplit(url).scheme not in ("https", "http"):
        raise ReadError(message(f"the address {url}", "an address with https"))
    try:
        import pooch
    except ImportError as error:
        raise DependencyError(
            message(
                f"{card.id} has to be downloaded, and pooch is not installed",
                "pooch, or a mirror",
                "pip install pooch, or set FORESCALE_MIRROR to a folder of copies",
            )
        ) from error
    pooch.get_logger().setLevel("WARNING")
    target.unlink(missing_ok=True)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        pooch.retrieve(
            url,
            known_hash=f"sha256:{file.sha256}" if len(file.sha256) == 64 else None,
            fname=target.name,
            path=target.parent,
            downloader=pooch.HTTPDownloader(timeout=TIMEOUT),
        )
    except ValueError as error:
        if "hash" not in str(error):
            raise _failed(card, url, error) from error
        raise _differs(card, file, url, "another content") from error
    except OSError as error:  # the exceptions of requests are OSErrors
        raise _failed(card, url, error) from error
    except Exception as error:  # urllib3 lets a few of its own through, e.g. for a body that stops short
        raise _failed(card, url, error) from error
    seen = sha256_file(target)
    if not seen.startswith(file.sha256):
        target.unlink(missing_ok=True)
        raise _differs(card, file, url, f"SHA-256 {seen[:16]}...")
    if not file.sha256:
        write_atomic(_record(target), seen + "\n")
    return target


def _failed(card: Card, url: str, error: Exception) -> ReadError:
    reason = f"{type(error).__name__}: {error}"[:160]
    return ReadError(
        message(
            f"{card.id} could not be downloaded from {url} ({reason})",
            "a connection to that address",
            "try again later, or set FORESCALE_MIRROR to a folder of copies",
        )
    )


def _differs(card: Card, file: File, url: str, seen: str) -> ReadError:
    return ReadError(
        message(
            f"{url} gave {seen} for {file.name}, and nothing was kept",
            f"SHA-256 {file.sha256[:16]}...",
            f"the data set {card.id} may have moved: use a mirror (FORESCALE_MIRROR)",
        )
    )
