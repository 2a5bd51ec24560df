"""Fetching one file of known size and checksum, by one process at a time.

Not by pooch: requests, beneath it, unpacks a .tar.gz that a server declares as content encoded with
gzip, as Apache does if told so by a file's name, and then the checksum is never right.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import pathlib
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator

import tqdm
from absl import logging

from gans.errors import UserError
from gans.files import locks

_CHUNK = 2**20  # Bytes.
_TIMEOUT = 60.0  # Seconds without a single byte.


def fetch(url: str, target: pathlib.Path, *, size: int, sha256: str, advice: str) -> None:
    """Downloads a file unless it is there already, and checks it.

    The bytes go to `target` plus ".part", which takes its final name once size
    and checksum are right: whatever interrupts a download, `target` is whole or
    absent. Two processes must not fetch one target at the same time: see `locked`.

    Args:
      url: where to fetch the file.
      target: where it belongs; its folder must exist. A file already there is
        used without touching the network, and never replaced.
      size: its length in bytes.
      sha256: its SHA-256 in hexadecimal.
      advice: what to do without a network, which ends that message.

    Raises:
      UserError: if the network fails or the bytes are not the expected ones.
      OSError: if the file cannot be written.
    """
    part = target.with_name(target.name + ".part")
    if target.exists():
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)  # What a killed process left.
        if _sha256(target) != sha256:
            raise UserError(
                f"{target} is not the expected file (its SHA-256 is not {sha256}): "
                "delete it and try again."
            )
        return
    try:
        received, digest = _download(url, part, size=size, advice=advice)
        if received < size:
            raise UserError(
                f"The download of {url} stopped after {received} of {size} bytes: try again."
            )
        if digest != sha256:
            raise UserError(
                f"{url} gave a file other than the expected one (its SHA-256 is not {sha256}), "
                "which was discarded: try again, and if it stays so, the source has changed."
            )
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path: pathlib.Path, title: str) -> Iterator[None]:
    """Holds a lock that the system drops when its process ends, however it ends.

    Args:
      path: of the file that is locked; it is made and stays.
      title: what messages call that which the process prepares.

    Raises:
      UserError: the file is a link.
      OSError: it cannot be opened for writing.
    """
    say = "Waiting for another process that prepares %s in %s."
    with locks.locked(path, lambda: logging.info(say, title, path.parent)):
        yield


def _download(url: str, part: pathlib.Path, *, size: int, advice: str) -> tuple[int, str]:
    """Writes at most a chunk more than `size` bytes; returns their number and SHA-256."""
    received, digest = 0, hashlib.sha256()
    with (
        part.open("wb") as file,
        tqdm.tqdm(
            total=size,
            desc=f"Downloading {url.rsplit('/', 1)[-1]}",
            unit="B",
            unit_scale=True,
            disable=None,
        ) as bar,
    ):
        for chunk in _chunks(url, advice):
            file.write(chunk)
            digest.update(chunk)
            received += len(chunk)
            bar.update(len(chunk))
            if received > size:
                break
    return received, digest.hexdigest()


def _chunks(url: str, advice: str) -> Iterator[bytes]:
    """Yields what a server sends, be it less than it announced."""
    try:
        opener = urllib.request.build_opener(_Redirects)
        with opener.open(url, timeout=_TIMEOUT) as response:
            while chunk := response.read(_CHUNK):
                yield chunk
    except http.client.IncompleteRead as error:
        yield error.partial
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise UserError(f"Cannot download {url} ({reason}): {advice}.") from error


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a server to another address, up to ten times, but to none that is less secure."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        """The request that follows, or `URLError`."""
        schemes = [urllib.parse.urlsplit(url).scheme for url in (req.full_url, newurl)]
        if schemes[1] not in ("https", schemes[0]):
            raise urllib.error.URLError(f"the server refers to {newurl}, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _sha256(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
