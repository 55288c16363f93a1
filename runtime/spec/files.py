"""Reading the files of a spec: whatever stands at a path ends in a text or in a reason why not."""

from __future__ import annotations

import errno
import os
import stat

from runtime.spec.places import Span
from runtime.spec.suggest import did_you_mean

_REASONS = {
    errno.ENOENT: "no such file",
    errno.ENOTDIR: "no such file",
    errno.EACCES: "the file may not be read; check its permissions",
    errno.EPERM: "the file may not be read; check its permissions",
    errno.ELOOP: "too many symbolic links on the way to the file",
    errno.ENAMETOOLONG: "the name of the file is too long",
}


class Unreadable(Exception):  # noqa: N818 - an answer, not a failure
    """A file could not be read as text.

    Args:
        reason: why, without the file's name.
        where: the place in the file, where there is one.
        missing: whether it simply does not exist.
        text: what could be read of it.
    """

    def __init__(self, reason: str, *, where: Span | None = None, missing: bool = False, text: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.where = where
        self.missing = missing
        self.text = text


def read_text(file: str, most: int) -> str:
    """The text of a regular UTF-8 file, without a byte order mark.

    Args:
        file: its path.
        most: the size in bytes above which it is refused.

    Raises:
        Unreadable: it is missing, no regular file, too large or not UTF-8.
    """
    return decoded(read_bytes(file, most))


def read_bytes(file: str, most: int) -> bytes:
    """The bytes of a regular file.

    Raises:
        Unreadable: it is missing, no regular file or too large.
    """
    try:
        # A pipe without a writer would block for ever where it is opened plainly.
        handle = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except ValueError:
        raise Unreadable("no such file", missing=True) from None
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, f"the file cannot be read ({os.strerror(error.errno or 0)})")
        raise Unreadable(reason, missing=error.errno in (errno.ENOENT, errno.ENOTDIR)) from None
    try:
        status = os.fstat(handle)
        if stat.S_ISDIR(status.st_mode):
            raise Unreadable("this is a folder, not a file")
        if stat.S_ISFIFO(status.st_mode) and file.startswith(("/dev/fd/", "/proc/self/fd/")):
            os.set_blocking(handle, True)
        elif not stat.S_ISREG(status.st_mode):
            raise Unreadable("this is no regular file")
        if status.st_size > most:
            raise Unreadable(_too_large(most))
        with os.fdopen(handle, "rb", closefd=False) as stream:
            content = stream.read(most + 1)
    except OSError as error:
        raise Unreadable(f"the file cannot be read ({os.strerror(error.errno or 0)})") from None
    finally:
        os.close(handle)
    if len(content) > most:
        raise Unreadable(_too_large(most))
    return content


def decoded(content: bytes) -> str:
    """UTF-8 bytes as text, without a byte order mark.

    Raises:
        Unreadable: they are not UTF-8; `where` tells the first wrong byte.
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Unreadable("the file is UTF-16; save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8-sig", "replace")
        where = Span(before.count("\n") + 1, len(before) - before.rfind("\n"), 1)
        text = content.decode("utf-8-sig", "replace")
        reason = f"the byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise Unreadable(reason, where=where, text=text) from None


def nearest(file: str) -> str | None:
    """The name in the same folder that a missing file was most likely meant to be."""
    folder, name = os.path.split(file)
    try:
        names = os.listdir(folder or ".")
    except (OSError, ValueError):
        return None
    return did_you_mean(name, names[:1000])


def _too_large(most: int) -> str:
    size = f"{most // (1024 * 1024)} MiB" if most >= 1024 * 1024 else f"{most // 1024} KiB"
    return f"the file is larger than {size}"
