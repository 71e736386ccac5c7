"""`python -m lab.plugins.command ENGINE_ADDRESS`: serves until the engine ends it, and prints the port first."""

import asyncio
import importlib.util
import os
import sys
import types
from pathlib import Path

_PARENT_POLL_SECONDS = 1.0


def _skip_package_code(*names: str) -> None:
    """Makes `import NAME.module` work without running the package's `__init__`.

    `import pulumi` takes 0.4 s, and every preview with a command in it waits for this plugin; the protocol's
    generated modules need nothing of it.
    """
    found = importlib.util.find_spec(names[0])
    if found is None or found.origin is None:
        raise SystemExit(f"error: the Python package {names[0]} is missing; run `make` in the clone")
    root = Path(found.origin).parent
    for name in names:
        package = types.ModuleType(name)
        package.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = package


async def _serve(engine_address: str, engine_process: int) -> None:
    import grpc.aio  # type: ignore[import-untyped]
    from pulumi.runtime.proto import provider_pb2_grpc

    from .provider import CHANNEL_OPTIONS, Engine, Provider

    server = grpc.aio.server(options=CHANNEL_OPTIONS)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(Engine(engine_address)), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    # An engine that was killed tells nobody: without this, its plugins stay for ever. Their remote commands run on,
    # as they do under the official plugin.
    while os.getppid() == engine_process:
        await asyncio.sleep(_PARENT_POLL_SECONDS)
    os._exit(0)


def main() -> None:
    """The plugin's entry point; the engine's address is its last argument."""
    if len(sys.argv) < 2:
        raise SystemExit("usage: python -m lab.plugins.command ENGINE_ADDRESS (the Pulumi engine starts this)")
    # Asked for before anything that takes time, in which the engine might end.
    engine_process = os.getppid()
    _skip_package_code("pulumi", "pulumi.runtime", "pulumi.runtime.proto")
    asyncio.run(_serve(sys.argv[-1], engine_process))


if __name__ == "__main__":
    main()
