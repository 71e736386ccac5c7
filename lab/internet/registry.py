"""The read-only half of the OCI distribution API (specification 1.1) over image archives."""

import re
from collections.abc import Callable, Mapping
from urllib.parse import parse_qs

from lab.internet.archives import Archives, Repository
from lab.internet.content import Answer, document
from lab.internet.names import DOCKER_HUB, registry_of

API_HEADERS = {"Docker-Distribution-Api-Version": "registry/2.0"}

_PATH = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
_DIGEST = r"[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[0-9a-fA-F]{32,}"
_TAG = r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}"
_ROUTE = re.compile(rf"/v2/(?P<path>{_PATH})/(?P<what>manifests|blobs|tags)/(?P<reference>{_DIGEST}|{_TAG})")

Elsewhere = Callable[[str, str], Answer]
"""Asks the real registry, by its name, for an API path; its answer is final."""


class Registry:
    """Answers for every registry at once: which one is meant, the host name says, or the parameter `ns`."""

    def __init__(self, archives: Archives) -> None:
        """Serve the images of `archives`."""
        self._archives = archives

    def answer(self, method: str, host: str, path: str, query: str, elsewhere: Elsewhere) -> Answer:
        """The answer to a request under `/v2`; what the lab does not have is asked of `elsewhere`.

        containerd sends `ns=<registry>` when it asks a mirror for another registry's image.
        """
        parameters = parse_qs(query)
        registry = registry_of(parameters.get("ns", [host])[0])
        if method not in {"GET", "HEAD"}:
            return error(405, "UNSUPPORTED", "the lab's registry is read-only")
        if path in {"/v2", "/v2/"}:
            return document(200, {}, API_HEADERS)
        if path == "/v2/_catalog":
            return document(200, {"repositories": self._archives.repositories(registry)}, API_HEADERS)
        route = _ROUTE.fullmatch(path)
        if route is None:
            return error(404, "NAME_INVALID", f"{path} is not a path of the distribution API")
        repository = Repository(registry, route["path"])
        if registry == DOCKER_HUB and "/" not in repository.path:
            repository = Repository(registry, f"library/{repository.path}")
        rest = f"/v2/{repository.path}/{route['what']}/{route['reference']}"
        found = self._find(repository, route["what"], route["reference"], parameters)
        return found or elsewhere(registry, rest)

    def _find(
        self, repository: Repository, what: str, reference: str, parameters: Mapping[str, list[str]]
    ) -> Answer | None:
        if what == "tags":
            return self._tags(repository, parameters) if reference == "list" else None
        by_digest = ":" in reference
        if what == "blobs":
            return self._blob(reference, "application/octet-stream") if by_digest else None
        if by_digest:
            kind = self._archives.media_type(reference)
            return self._blob(reference, kind) if kind else None
        image = self._archives.tag(repository, reference)
        return self._blob(image.digest, image.media_type) if image else None

    def _blob(self, digest: str, media_type: str) -> Answer | None:
        """Digests are looked up in all archives: what has the digest is the content, whoever asks."""
        part = self._archives.blob(digest)
        if part is None:
            return None
        headers = {"Content-Type": media_type, "Docker-Content-Digest": digest, "ETag": f'"{digest}"'}
        return Answer(200, part, {**API_HEADERS, **headers})

    def _tags(self, repository: Repository, parameters: Mapping[str, list[str]]) -> Answer | None:
        tags = self._archives.tags(repository)
        if not tags:
            return None
        if last := parameters.get("last"):
            tags = [tag for tag in tags if tag > last[0]]
        headers = dict(API_HEADERS)
        limit = parameters.get("n", [""])[0]
        if limit.isdigit() and int(limit) < len(tags):
            tags = tags[: int(limit)]
            if tags:
                address = f"/v2/{repository.path}/tags/list?n={limit}&last={tags[-1]}"
                headers["Link"] = f'<{address}>; rel="next"'
        return document(200, {"name": repository.path, "tags": tags}, headers)


def reference(registry: str, path: str) -> str:
    """What an API path asks for, as a person names it: `docker.io/library/redis:7`."""
    repository, what, last = path.removeprefix("/v2/").rsplit("/", 2)
    if what == "tags":
        return f"{registry}/{repository}"
    return f"{registry}/{repository}{'@' if ':' in last else ':'}{last}"


def error(status: int, code: str, message: str) -> Answer:
    """An error as the specification shapes it; clients print the message."""
    return document(status, {"errors": [{"code": code, "message": message}]}, API_HEADERS)


def unknown(path: str, message: str) -> Answer:
    """404 for API path `path` with the code that fits it."""
    if "/manifests/" in path:
        return error(404, "MANIFEST_UNKNOWN", message)
    return error(404, "BLOB_UNKNOWN" if "/blobs/" in path else "NAME_UNKNOWN", message)
