"""One preview, judged, and all that its plan is bound to."""

import datetime
import json
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from seedbed import UserError, binding, deployment, engine, identities, leaks, passphrase, sources
from seedbed.binding import Binding
from seedbed.bundle import Manifest
from seedbed.engine import Previewed
from seedbed.review import Facts, Report, Verdict, assess
from seedbed.stackfile import StackFile
from stacks.files import ROOT
from stacks.identity import Identity

CHANGED = "changed while it was reviewed: run it again"


@dataclass(frozen=True)
class Review:
    """What a preview came to. `manifest` and `plan` are for the bundle, `key` seals it; None where nothing can be applied."""

    report: Report
    commit: str
    manifest: Manifest | None
    plan: bytes | None
    key: bytes


def review(stack: StackFile, environment: Mapping[str, str], preview: "Future[Previewed]") -> Review:
    """Judges a preview that has begun; all else is gathered while it runs.

    Raises UserError, IdentityError or SettingsError where it cannot be judged, with what to do.
    """
    with ThreadPoolExecutor() as pool:
        exported = pool.submit(engine.exported, stack, environment)
        files = pool.submit(sources.read, ROOT)
        identity = identities.read(stack, environment)
        settings = binding.settings(stack, identity)
        state, before = exported.result(), files.result()
        previewed = preview.result()
    urns = {step["urn"] for step in (previewed.digest or {}).get("steps") or []}
    machines = [deployment.name_of(urn) for urn in urns if deployment.type_of(urn) == deployment.NODE]
    public = passphrase.public_passphrase(ROOT)
    secrets = leaks.patterns(identity, machines, environment, public, deploy_key=stack.deploy_key)
    report = _report(previewed, stack, before, secrets)
    if report.verdict is Verdict.REFUSED:
        return Review(report, before.short, None, None, b"")
    if seen := deployment.disagreement(previewed.digest or {}, state):
        raise UserError(f"the state ({seen}) {CHANGED}")
    if sources.read(ROOT) != before or binding.settings(stack, identity) != settings:
        raise UserError(f"a file of the program, or {stack.path.name}, {CHANGED}")
    if previewed.plan is None:
        raise UserError(f"`pulumi preview` left no plan:\n{leaks.without(previewed.said, secrets)}")
    manifest = Manifest(
        stack=stack.name,
        rehearsal=stack.rehearsal,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        verdict=report.verdict.value,
        summary=report.summary,
        binding=Binding(
            store=binding.store(environment),
            state=deployment.read(state),
            sources=before,
            versions=binding.versions(json.loads(previewed.plan)["manifest"]["version"], environment),
            settings=settings,
        ),
    )
    _refuse_secrets({"the plan": previewed.plan.decode(), "the manifest": manifest.model_dump_json()}, secrets)
    return Review(report, before.short, manifest, previewed.plan, binding.seal_key(identity))


def now(stack: StackFile, identity: Identity, environment: Mapping[str, str]) -> Binding:
    """All that a plan is bound to, as it is at this moment. Raises as `review` does."""
    with ThreadPoolExecutor() as pool:
        exported = pool.submit(engine.exported, stack, environment)
        version = pool.submit(binding.pulumi_version, environment)
        files = sources.read(ROOT)
        settings = binding.settings(stack, identity)
        cli = version.result()
        return Binding(
            store=binding.store(environment),
            state=deployment.read(exported.result()),
            sources=files,
            versions=binding.versions(cli, environment),
            settings=settings,
        )


def _report(previewed: Previewed, stack: StackFile, files: sources.Sources, secrets: Mapping[str, str]) -> Report:
    said = leaks.without(previewed.said, secrets)
    failed = f"`pulumi preview` failed with exit code {previewed.code}"
    if previewed.digest is None:
        raise UserError(f"{failed}:\n{said}")
    facts = Facts(stack=stack.name, commit=files.commit, dirty=files.dirty, source=stack.path.name)
    report = assess(previewed.digest, facts)
    if previewed.code != 0 and report.verdict is not Verdict.REFUSED:
        raise UserError(f"{failed} and named no error:\n{said or json.dumps(previewed.digest.get('diagnostics'))}")
    if report.verdict is Verdict.REFUSED:
        return Report(report.verdict, leaks.without(report.markdown, secrets) + "\n")
    _refuse_secrets({"the report": report.markdown}, secrets)
    return report


def _refuse_secrets(texts: Mapping[str, str], secrets: Mapping[str, str]) -> None:
    """What the engine writes has its secrets encrypted; if that ever fails, nothing is written that others may read."""
    for what, text in texts.items():
        if names := leaks.found(text, secrets):
            raise UserError(
                f"{what} holds {', '.join(names)} in clear, so nothing was written: wherever this comes from, mark it as a "
                "secret in the program"
            )
