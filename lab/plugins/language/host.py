"""Drop-in for `pulumi-language-python`: runs one Pulumi program in this interpreter for the engine that started it.

The official host is part of the CLI's release archive and exists neither on PyPI nor as a Go module. This one does what
the program needs of it, in the way of the SDK's own executor (`pulumi-language-python-exec` of pulumi/pulumi v3.232.0):
the same error texts, the same handling of exits, output by `print`. It is this one file, started by path, so that
nothing of this repository is on the program's `sys.path` that the official host would not have put there.

The engine starts a host only to ask for its version, then one for each run of the program, one after the other, so the
time to the first answer counts double: the SDK (half a second of imports) is loaded only when a program runs.
"""

import os
import queue
import select
import signal
import stat
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import grpc  # type: ignore[import-untyped]

SERVICE = "pulumirpc.LanguageRuntime"

INSTALL_NOTE = "The drop-in language host installs nothing: `make` keeps the environment as the locks say.\n"


class Host:
    """The methods of `pulumirpc.LanguageRuntime` on plain bytes; those missing here are answered UNIMPLEMENTED.

    The bytes are those of the SDK's messages (an empty message is no bytes at all), see pulumi/language.proto.
    """

    def __init__(self, engine_address: str) -> None:
        self.engine_address = engine_address
        self.programs: queue.SimpleQueue[tuple[bytes, Future[bytes]]] = queue.SimpleQueue()
        self.ran = threading.Lock()
        self.methods = {
            "Handshake": grpc.unary_unary_rpc_method_handler(nothing),
            "GetPluginInfo": grpc.unary_unary_rpc_method_handler(plugin_info),
            "About": grpc.unary_unary_rpc_method_handler(about),
            # The engine loads a provider by the version that the program's SDK package names, so nothing has to be
            # announced; an announced plugin would be downloaded even where the program does not use it.
            "GetRequiredPackages": grpc.unary_unary_rpc_method_handler(nothing),
            "GetRequiredPlugins": grpc.unary_unary_rpc_method_handler(nothing),
            "RuntimeOptionsPrompts": grpc.unary_unary_rpc_method_handler(nothing),
            "GetProgramDependencies": grpc.unary_unary_rpc_method_handler(program_dependencies),
            "InstallDependencies": grpc.unary_stream_rpc_method_handler(install_dependencies),
            "Run": grpc.unary_unary_rpc_method_handler(self.run),
            "Cancel": grpc.unary_unary_rpc_method_handler(nothing),
        }

    def run(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        """Have the main thread run the program, as it would run under the official host, and wait for its end."""
        if not self.ran.acquire(blocking=False):
            context.abort(
                grpc.StatusCode.FAILED_PRECONDITION,
                "this language host ran a program already; its modules and its event loop are not fit for another",
            )
        answer: Future[bytes] = Future()
        self.programs.put((request, answer))
        return answer.result()

    def serve(self) -> NoReturn:
        """Tell the engine the port and run what it sends; ends by a signal or with the engine."""
        pool = ThreadPoolExecutor(max_workers=8)
        handlers = [grpc.method_handlers_generic_handler(SERVICE, self.methods)]
        server = grpc.server(pool, handlers=handlers, options=[("grpc.max_receive_message_length", -1)])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        print(port, flush=True)
        while True:
            request, answer = self.programs.get()
            try:
                answer.set_result(run_program(request, self.engine_address))
            except BaseException as error:  # whatever it is, the engine waits for an answer
                answer.set_exception(error)


def nothing(_request: bytes, _context: grpc.ServicerContext) -> bytes:
    """The empty answer, which is the empty message of any type."""
    return b""


def plugin_info(_request: bytes, _context: grpc.ServicerContext) -> bytes:
    """PluginInfo: the version, which is the SDK's as the two are pinned together."""
    from importlib.metadata import version

    return string_field(1, version("pulumi"))


def about(_request: bytes, _context: grpc.ServicerContext) -> bytes:
    """AboutResponse: the interpreter and its version."""
    return string_field(1, sys.executable) + string_field(2, sys.version.split()[0])


def program_dependencies(request: bytes, _context: grpc.ServicerContext) -> bytes:
    """GetProgramDependenciesResponse: what is installed; without `transitiveDependencies`, what nothing else needs."""
    import re
    from importlib.metadata import distributions

    messages = language_messages()
    asked = messages.GetProgramDependenciesRequest.FromString(request)
    installed = {canonical(found.name): found for found in distributions()}
    needed: set[str] = set()
    if not asked.transitiveDependencies:
        for found in installed.values():
            for requirement in found.requires or []:
                name = re.match(r"[A-Za-z0-9._-]+", requirement)
                if name is not None and "extra ==" not in requirement:
                    needed.add(canonical(name[0]))
    answer: bytes = messages.GetProgramDependenciesResponse(
        dependencies=[
            messages.DependencyInfo(name=found.name, version=found.version)
            for name, found in sorted(installed.items())
            if name not in needed
        ]
    ).SerializeToString()
    return answer


def install_dependencies(_request: bytes, _context: grpc.ServicerContext) -> Iterator[bytes]:
    """InstallDependenciesResponse: says who installs."""
    yield string_field(1, INSTALL_NOTE)


def run_program(request: bytes, engine_address: str) -> bytes:
    """Run the program of a RunRequest to its end, in this thread, and give back the RunResponse."""
    messages = language_messages()
    asked = messages.RunRequest.FromString(request)
    error = refusal(asked)
    bail = False
    if not error:
        configure(asked, engine_address)
        program = Path(asked.info.program_directory, asked.info.entry_point)
        sys.argv = [str(program), *asked.args]
        os.chdir(asked.pwd or asked.info.program_directory)
        try:
            execute(program, asked.parallel)
        except SystemExit as exited:
            error = exit_error(exited)
        except ProgramFailedError:
            bail = True  # its user has seen why: the engine adds nothing
        flush()
    answer: bytes = messages.RunResponse(error=error, bail=bail).SerializeToString()
    return answer


class ProgramFailedError(Exception):
    """The program failed, and its user was told why."""


def refusal(asked: Any) -> str:  # noqa: ANN401 - the SDK's messages have no types that a checker knows
    """Why the program cannot be run in this interpreter, or nothing."""
    if "virtualenv" not in asked.info.options:
        return ""
    wanted = Path(asked.info.root_directory, asked.info.options["virtualenv"])
    if wanted.resolve() == Path(sys.prefix).resolve():
        return ""
    return (
        f"the drop-in language host runs programs in {sys.prefix}, and Pulumi.yaml names the virtualenv {wanted};"
        " run `make` in the clone that this Pulumi.yaml belongs to"
    )


def configure(asked: Any, engine_address: str) -> None:  # noqa: ANN401
    """Tell the SDK which run this is, with the calls that the official executor uses."""
    import pulumi.runtime

    pulumi.runtime.set_all_config(dict(asked.config), list(asked.configSecretKeys))
    pulumi.runtime.configure(
        pulumi.runtime.Settings(
            monitor=asked.monitor_address,
            engine=engine_address,
            project=asked.project,
            stack=asked.stack,
            parallel=asked.parallel,
            dry_run=asked.dryRun,
            organization=asked.organization,
            root_directory=asked.info.root_directory,
        )
    )


def execute(program: Path, parallel: int) -> None:
    """Run the program and all that it set going.

    Raises:
        ProgramFailedError: it failed; its user has seen the traceback from its own first line on, or a RunError's
            bare message.
        SystemExit: it called for its end.
    """
    import asyncio
    import logging

    import pulumi.runtime

    # A failed program leaves tasks unfinished; asyncio would complain of each (as in the official executor).
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    executor = ThreadPoolExecutor(max_workers=max(parallel, 1) * 4)
    loop.set_default_executor(executor)
    try:
        loop.run_until_complete(pulumi.runtime.run_in_stack(lambda: run_main(program)))
    except pulumi.RunError as error:
        pulumi.log.error(str(error))
        raise ProgramFailedError from error
    except Exception as error:
        text = traceback_of_program(error, program)
        pulumi.log.error(f"Program failed with an unhandled exception:\n{text}")
        raise ProgramFailedError from error
    finally:
        executor.shutdown(wait=True)
        loop.close()


def run_main(program: Path) -> None:
    """Run the program as `python PROGRAM` would."""
    import runpy

    import pulumi

    main = program / "__main__.py" if program.is_dir() else program
    if not main.is_file():
        raise pulumi.RunError(f"unable to find main python program `{main.name}` in `{main.parent}`")
    runpy.run_path(str(program), run_name="__main__")


def traceback_of_program(error: BaseException, program: Path) -> str:
    """The traceback from the program's own first frame on; all of it where none is the program's."""
    import traceback

    main = str(program / "__main__.py" if program.is_dir() else program)
    frames = traceback.extract_tb(error.__traceback__)
    for index, frame in enumerate(frames):
        if os.path.realpath(frame.filename) == os.path.realpath(main):
            return "".join(traceback.format_exception(error, limit=index - len(frames)))
    return "".join(traceback.format_exception(error))


def exit_error(exited: SystemExit) -> str:
    """What the engine shall report of `sys.exit`, with the exit code as the interpreter would give it."""
    if exited.code is None or exited.code == 0:
        return ""
    if isinstance(exited.code, int):
        return f"Program exited with non-zero exit code: {exited.code}"
    print(exited.code, file=sys.stderr)
    return "Program exited with non-zero exit code: 1"


def language_messages() -> ModuleType:
    """The SDK's messages; importing them imports the SDK."""
    from pulumi.runtime.proto import language_pb2

    return language_pb2


def string_field(number: int, text: str) -> bytes:
    """A string field as protobuf writes it: key, length, content (protobuf.dev/programming-guides/encoding)."""
    content = text.encode()
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    """A number as protobuf writes it: seven bits a byte, the lowest first, the top bit set where more follow."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def canonical(name: str) -> str:
    """A distribution's name as PyPI compares it."""
    return name.lower().replace("_", "-").replace(".", "-")


def flush() -> None:
    """Hand on what the program printed, whatever became of the pipes."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue


def leave() -> NoReturn:
    """End at once: the engine is done with this host, or gone."""
    flush()
    os._exit(0)


def leave_with_engine() -> None:
    """Leave when the engine interrupts this host, and when it is gone, however it went.

    It holds the other end of our standard input, which then ends; the program gets an empty one instead, as it does
    under the official host. A thread waits for both, because Python runs signal handlers in the main thread only,
    which may be deep in a call that nothing interrupts; the engine would wait five seconds for it and then kill.
    """
    interrupted, wakeup = os.pipe()
    os.set_blocking(wakeup, False)
    signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: None)
    watched = [interrupted]
    if stat.S_ISFIFO(os.fstat(0).st_mode):  # else it was started by hand
        engine = os.dup(0)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        watched.append(engine)

    def watch() -> None:
        while True:
            for end in select.select(watched, [], [])[0]:
                received = os.read(end, 4096)
                if end != interrupted and received:
                    continue  # the engine writes nothing there; if it did, it would live
                if end == interrupted and not {signal.SIGINT, signal.SIGTERM} & set(received):
                    continue
                leave()

    threading.Thread(target=watch, daemon=True).start()


def main(argv: list[str]) -> NoReturn:
    """Serve the engine whose address is the last argument."""
    leave_with_engine()
    Host(argv[-1] if argv else "").serve()


if __name__ == "__main__":
    main(sys.argv[1:])
