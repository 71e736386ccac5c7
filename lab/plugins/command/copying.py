"""Copies a file, a text or a directory to a host by SFTP.

Source: remote/copyController.go. Loads `asyncssh`: import it when something is copied, see connection.py.
"""

import posixpath
from pathlib import Path

import asyncssh

from lab.plugins.protocol import PluginError
from lab.plugins.protocol.log import Log
from lab.plugins.protocol.values import Value

from .connection import Endpoint, connect


async def copy(target: Endpoint, source: Value, remote_path: str, log: Log) -> None:
    """Copies a checked `source` (asset or archive, without secret markers) to `remote_path`.

    What is there already is overwritten; nothing is removed; modes are the host's default. An archive is not
    unpacked: its file, or its directory's tree, is copied as it is.

    Raises:
        PluginError: no connection, no such local file, or the host refuses a write.
    """
    path: str | None = source.get("path") or None
    if path is not None and not Path(path).exists():
        raise PluginError(f"open {path}: no such file or directory")
    async with connect(target, log) as connection:
        try:
            async with connection.start_sftp_client() as sftp:
                if path is None:
                    await _copy_text(sftp, source["text"], remote_path)
                elif Path(path).is_dir():
                    await _copy_directory(sftp, path, remote_path)
                else:
                    if await _is_directory(sftp, remote_path):
                        remote_path = posixpath.join(remote_path, Path(path).name)
                    await _copy_file(sftp, Path(path), remote_path)
        except (asyncssh.Error, OSError) as error:
            raise PluginError(f"failed to copy to remote path {remote_path}: {error}") from None


async def _copy_text(sftp: asyncssh.SFTPClient, text: str, remote_path: str) -> None:
    if await _is_directory(sftp, remote_path):
        raise PluginError(
            f"remote path {remote_path} is a directory; when using a text asset, remotePath must be a file path"
        )
    async with sftp.open(remote_path, "wb") as file:
        await file.write(text.encode())


async def _copy_directory(sftp: asyncssh.SFTPClient, path: str, remote_path: str) -> None:
    """`dir` goes to `remote_path/dir`, `dir/` to `remote_path` itself."""
    await _make_directory(sftp, remote_path)
    if not path.endswith("/"):
        remote_path = posixpath.join(remote_path, Path(path).resolve().name)
        await _make_directory(sftp, remote_path)
    await _copy_tree(sftp, Path(path), remote_path)


async def _copy_tree(sftp: asyncssh.SFTPClient, path: Path, remote_path: str) -> None:
    for entry in sorted(path.iterdir()):
        remote_entry = posixpath.join(remote_path, entry.name)
        if entry.is_dir() and not entry.is_symlink():
            await _make_directory(sftp, remote_entry)
            await _copy_tree(sftp, entry, remote_entry)
        else:
            await _copy_file(sftp, entry, remote_entry)


async def _copy_file(sftp: asyncssh.SFTPClient, path: Path, remote_path: str) -> None:
    try:
        await sftp.put(str(path), remote_path, follow_symlinks=True)
    except (asyncssh.Error, OSError) as error:
        raise PluginError(f"failed to copy file {path} to remote path {remote_path}: {error}") from None


async def _is_directory(sftp: asyncssh.SFTPClient, remote_path: str) -> bool:
    try:
        return (await sftp.stat(remote_path)).type == asyncssh.FILEXFER_TYPE_DIRECTORY
    except asyncssh.SFTPNoSuchFile:
        return False


async def _make_directory(sftp: asyncssh.SFTPClient, remote_path: str) -> None:
    """Makes one level, unless it is there."""
    if await _is_directory(sftp, remote_path):
        return
    if await sftp.exists(remote_path):
        raise PluginError(f"remote path {remote_path} exists but is not a directory")
    try:
        await sftp.mkdir(remote_path)
    except (asyncssh.Error, OSError) as error:
        raise PluginError(f"failed to create remote directory {remote_path}: {error}") from None
