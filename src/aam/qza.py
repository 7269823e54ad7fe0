"""Safe reading of QIIME 2 artifacts (``.qza``).

They are zip files that hold ``<uuid>/metadata.yaml`` and ``<uuid>/data/``; nothing is ever unpacked
to disk.
"""

import zipfile
import zlib
from pathlib import Path, PurePosixPath

from aam.errors import UserError
from aam.inputs import SUSPECT_BYTES, SUSPECT_RATIO

ZIP_MAGIC = b"PK\x03\x04"
MAX_MEMBER_BYTES = 4 * 2**30
# UnicodeDecodeError, of a member's name, is a ValueError.
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError)
# What QIIME 2 writes; others are unpacked by zipfile to whatever they become.
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def read_member(path: Path, semantic_type: str, name: str) -> bytes:
    """The content of ``data/<name>`` of the artifact at ``path``, e.g. ``tree.nwk``.

    Raises
    ------
    UserError
        The file is no artifact, is damaged or unsafe, or is not of ``semantic_type``.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = _checked_members(archive, path)
            found = _semantic_type(archive, members, path)
            if found.split(" %")[0] != semantic_type:
                raise UserError(
                    f"{path} is a QIIME 2 artifact of type {found}, not {semantic_type};"
                    f" give a {semantic_type} artifact"
                )
            member = members.get(("data", name))
            if member is None:
                raise UserError(
                    f"the QIIME 2 artifact {path} holds no data/{name}; export it again"
                )
            return _content(archive, member)
    except _DAMAGE as error:
        raise UserError(
            f"the QIIME 2 artifact {path} is damaged or unreadable ({error}); export it again"
        ) from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None


def _checked_members(
    archive: zipfile.ZipFile, path: Path
) -> dict[tuple[str, ...], zipfile.ZipInfo]:
    """Members by their path below the artifact's one top folder, none of them unsafe."""
    members: dict[tuple[str, ...], zipfile.ZipInfo] = {}
    tops: set[str] = set()
    whole_size = path.stat().st_size
    for member in archive.infolist():
        parts = PurePosixPath(member.filename).parts
        if not parts or parts[0] == "/" or ".." in parts or "\\" in member.orig_filename:
            raise UserError(f"{path} holds the unsafe path {member.filename!r}; it was refused")
        packed_size = min(member.compress_size, whole_size)  # what it says may be wrong
        dense = member.file_size > SUSPECT_RATIO * packed_size
        if member.file_size > MAX_MEMBER_BYTES or (dense and member.file_size > SUSPECT_BYTES):
            raise UserError(
                f"{path} would unpack {member.filename!r} from {packed_size}"
                f" to {member.file_size} bytes; it was refused"
            )
        if member.compress_type not in _PACKINGS:
            raise UserError(f"{path} packs {member.filename!r} in an uncommon way; export it again")
        if parts[1:] in members:
            raise UserError(f"{path} holds {member.filename!r} twice; it was refused")
        tops.add(parts[0])
        if not member.is_dir():
            members[parts[1:]] = member
    if len(tops) != 1:
        raise UserError(f"{path} is a zip file but not a QIIME 2 artifact (no one top folder)")
    return members


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """No more than the size that was looked at: what it unpacks to may be another."""
    with archive.open(member) as file:
        return file.read(member.file_size)


def _semantic_type(
    archive: zipfile.ZipFile, members: dict[tuple[str, ...], zipfile.ZipInfo], path: Path
) -> str:
    member = members.get(("metadata.yaml",))
    if member is not None:
        for line in _content(archive, member).decode("utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key == "type":
                return value.strip().strip("'\"")
    raise UserError(
        f"{path} is a zip file but not a QIIME 2 artifact (no metadata.yaml with a type)"
    )
