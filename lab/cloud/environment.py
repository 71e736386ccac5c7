"""By which variables the lab's cloud is found: apart from what makes one, because every command of a lab's stack needs it."""

from pathlib import Path

from lab.cloud import service, spaces


def environment(directory: Path) -> dict[str, str]:
    """The variables by which the engine's plugin and its clients find the cloud; none for a lab without one."""
    api, storage = service.load(directory), spaces.load(directory)
    if api is None or storage is None:
        return {}
    return {"DIGITALOCEAN_TOKEN": api.token, "DIGITALOCEAN_API_URL": api.url, **storage.environment()}
