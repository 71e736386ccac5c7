"""A plugin as a process: it serves until the engine ends it, and prints its port first."""

import asyncio
import importlib
import os
import sys

from .packages import skip_package_code

_PARENT_POLL_SECONDS = 1.0


async def _serve(plugin: str, engine_address: str, engine_process: int) -> None:
    import grpc.aio  # type: ignore[import-untyped]
    from pulumi.runtime.proto import provider_pb2_grpc

    from .calls import CHANNEL_OPTIONS, Engine

    provider = importlib.import_module(f"{plugin}.provider").Provider(Engine(engine_address))
    server = grpc.aio.server(options=CHANNEL_OPTIONS)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    # An engine that was killed tells nobody: without this, its plugins stay for ever. What their operations began on
    # other machines runs on, as it does under official plugins.
    while os.getppid() == engine_process:
        await asyncio.sleep(_PARENT_POLL_SECONDS)
    os._exit(0)


def main(plugin: str) -> None:
    """The entry point of the plugin in the package `plugin`: serves the class `Provider` of its module `provider`.

    The engine's address is the last argument of the process.
    """
    if len(sys.argv) < 2:
        raise SystemExit(f"usage: python -m {plugin} ENGINE_ADDRESS (the Pulumi engine starts this)")
    # Asked for before anything that takes time, in which the engine might end.
    engine_process = os.getppid()
    # `import pulumi` takes 0.4 s, and every preview waits for the plugins of what is in it; the protocol's generated
    # modules need nothing of it.
    skip_package_code("pulumi", "pulumi.runtime", "pulumi.runtime.proto")
    asyncio.run(_serve(plugin, sys.argv[-1], engine_process))
