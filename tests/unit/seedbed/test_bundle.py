import json
import zipfile

import pytest

from seedbed import bundle
from seedbed.binding import Binding, Settings
from seedbed.bundle import BundleError, Manifest, Packed
from seedbed.deployment import Deployment
from seedbed.sources import Sources

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
PLAN = b'{"resourcePlans": {}}'

BINDING = Binding(
    store="s3://bucket/prefix",
    state=Deployment(digest="0" * 64, machines=("server-a-1",), resources={}, pending=()),
    sources=Sources(commit="c" * 40, dirty=(), digest="1" * 64, files={}),
    versions={"pulumi": "v3.232.0"},
    settings=Settings(values={}, files={}, identity="2" * 64),
)


def manifest(**changes):
    values = {"stack": "prod", "rehearsal": False, "created": "2026-01-01T00:00:00+00:00", "verdict": "safe"}
    return Manifest(**{**values, "summary": "Safe: prod", "binding": BINDING, **changes})


@pytest.fixture
def packed(tmp_path):
    path = tmp_path / "review" / "prod.zip"
    bundle.write(path, manifest(), PLAN, "# Safe\n", KEY)
    return path


def changed(path, **members):
    """The bundle with other members in the place of its own; None takes one away."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    content |= {name.replace("_", "."): value for name, value in members.items()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, value in content.items():
            if value is not None:
                archive.writestr(name, value)
    return path


def member(path, name):
    with zipfile.ZipFile(path) as archive:
        return archive.read(name)


def test_what_was_sealed_is_opened_as_it_was(packed):
    found = Packed(packed)
    assert found.stack == "prod"
    opened = found.opened(KEY)
    assert (opened.plan, opened.report) == (PLAN, "# Safe\n")
    assert opened.manifest.binding == BINDING
    assert opened.manifest.summary == "Safe: prod"


def test_the_same_review_gives_the_same_bytes_and_a_new_one_takes_the_old_ones_place(packed, tmp_path):
    before = packed.read_bytes()
    bundle.write(packed, manifest(), PLAN, "# Safe\n", KEY)
    assert packed.read_bytes() == before
    assert [file.name for file in packed.parent.iterdir()] == ["prod.zip"]


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("plan.json", b"resourcePlans", b"ressourcePlans", "plan.json is not what was sealed"),
        ("report.md", b"Safe", b"Harmless", "report.md is not what was sealed"),
        ("manifest.json", b'"safe"', b'"nothing"', "manifest.json is not what was sealed"),
        ("seal.json", b'"hmac": "', b'"hmac": "0', "manifest.json is not what was sealed"),
        ("seal.json", b'"key": "', b'"key": "0', "or seal.json was changed"),
        ("seal.json", b"{", b"[", "seal.json is not what `seedbed review` writes"),
        ("manifest.json", b"{", b"", "manifest.json is not what `seedbed review` writes"),
    ],
)
def test_a_part_that_was_changed_is_named_and_nothing_is_opened(packed, name, old, new, said):
    content = member(packed, name)
    assert old in content
    changed(packed, **{name.replace(".", "_"): content.replace(old, new, 1)})
    with pytest.raises(BundleError, match=said):
        Packed(packed).opened(KEY)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("seal.json", '"hmac": "ä', "manifest.json is not what was sealed"),
        ("seal.json", r'"hmac": "\ud800', "manifest.json is not what was sealed"),
        ("manifest.json", '"stack": ' + "[" * 100_000, "manifest.json is not what `seedbed review` writes"),
    ],
    ids=["not-ascii", "not-text", "deep"],
)
def test_content_that_nobody_writes_is_a_change_like_another(packed, name, content, said):
    key = content.partition(":")[0]
    text = member(packed, name).decode()
    changed(packed, **{name.replace(".", "_"): text.replace(f'{key}: "', content).encode()})
    with pytest.raises(BundleError, match=said):
        Packed(packed).opened(KEY)


def test_a_plan_that_is_changed_with_its_digest_is_noticed_by_the_seal(packed):
    import hashlib

    plan = PLAN.replace(b"{}", b'{"urn": {}}')
    text = member(packed, "manifest.json").replace(
        hashlib.sha256(PLAN).hexdigest().encode(), hashlib.sha256(plan).hexdigest().encode()
    )
    assert text != member(packed, "manifest.json")
    changed(packed, plan_json=plan, manifest_json=text)
    with pytest.raises(BundleError, match=r"manifest\.json is not what was sealed"):
        Packed(packed).opened(KEY)


def test_whoever_has_another_identity_cannot_seal_for_the_stack(packed):
    bundle.write(packed, manifest(), PLAN, "# Safe\n", OTHER_KEY)
    with pytest.raises(BundleError, match="sealed with another identity than stack prod has"):
        Packed(packed).opened(KEY)


def test_a_bundle_of_another_stack_is_of_that_stack_whatever_it_is_called(packed):
    bundle.write(packed, manifest(stack="dev"), PLAN, "# Safe\n", KEY)
    assert Packed(packed).stack == "dev"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"format": 2}, "is of format 2, and this seedbed reads 1"),
        ({"project": "another"}, "is a plan of the project 'another', not of seedbed"),
        ({"stack": None}, "names no stack"),
    ],
)
def test_a_bundle_that_is_for_something_else_is_not_looked_into(packed, values, said):
    text = json.loads(member(packed, "manifest.json")) | values
    changed(packed, manifest_json=json.dumps(text))
    with pytest.raises(BundleError, match=said):
        Packed(packed)


def test_what_is_no_bundle_is_said_to_be_none(packed, tmp_path):
    with pytest.raises(BundleError, match="does not exist: `seedbed review STACK` makes one"):
        Packed(tmp_path / "none.zip")
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(BundleError, match="is damaged, or no bundle"):
        Packed(tmp_path / "text.zip")
    whole = packed.read_bytes()
    (tmp_path / "half.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BundleError, match="is damaged, or no bundle"):
        Packed(tmp_path / "half.zip")
    at = whole.index(b"manifest.json") + 60
    (tmp_path / "bits.zip").write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
    with pytest.raises(BundleError, match="is damaged, or no bundle"):
        Packed(tmp_path / "bits.zip")
    with pytest.raises(BundleError, match="is no bundle of `seedbed review`, which holds"):
        Packed(changed(packed, seal_json=None))


def test_a_member_beside_the_four_is_not_passed_over(packed):
    with pytest.raises(BundleError, match="is no bundle"):
        Packed(changed(packed, more_txt=b"more"))


def test_what_says_that_it_is_huge_is_not_unpacked(packed, monkeypatch):
    monkeypatch.setattr(bundle, "LARGEST", 10)
    with pytest.raises(BundleError, match="is larger than"):
        Packed(packed)


@pytest.mark.parametrize("way", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA], ids=["bzip2", "lzma"])
@pytest.mark.parametrize("body", ["whole", "damaged"])
def test_what_is_packed_in_a_way_that_unpacks_all_at_once_is_not_unpacked(packed, way, body):
    content = {name: member(packed, name) for name in bundle.MEMBERS}
    with zipfile.ZipFile(packed, "w", way) as archive:
        for name, text in content.items():
            archive.writestr(name, text)
        at = archive.getinfo("plan.json").header_offset + 30 + len("plan.json") + 12
    if body == "damaged":
        whole = packed.read_bytes()
        packed.write_bytes(whole[:at] + b"????" + whole[at + 4 :])
    with pytest.raises(
        BundleError, match=r"is damaged, or no bundle of `seedbed review` \(.* is packed in another way\)"
    ):
        Packed(packed)


def said_of(packed, name, at, new):
    """Changes bytes of what the zip's list says of a member."""
    whole = bytearray(packed.read_bytes())
    entry = whole.rindex(name.encode()) - 46
    assert whole[entry : entry + 4] == b"PK\x01\x02"
    whole[entry + at : entry + at + len(new)] = new
    packed.write_bytes(whole)


def with_a_size(packed, name, size):
    said_of(packed, name, 24, size.to_bytes(4, "little"))


def test_a_members_name_that_is_no_text_is_damage(packed):
    said_of(packed, "plan.json", 9, b"\x08")  # its name is in UTF-8
    said_of(packed, "plan.json", 46, b"\xff")
    with pytest.raises(BundleError, match="is damaged"):
        Packed(packed)


@pytest.mark.parametrize("more", [-2, 2])
def test_a_member_that_says_another_size_than_it_has_is_damaged(packed, more):
    with_a_size(packed, "report.md", len("# Safe\n") + more)
    with pytest.raises(BundleError, match="is damaged"):
        Packed(packed)


def test_a_member_that_unpacks_to_more_than_it_says_is_not_unpacked_to_its_end(tmp_path):
    import tracemalloc

    path = tmp_path / "bomb.zip"
    bundle.write(path, manifest(), b"0" * (64 << 20), "# Safe\n", KEY)
    with_a_size(path, "plan.json", 20)
    tracemalloc.start()
    with pytest.raises(BundleError, match="is damaged"):
        Packed(path)
    assert tracemalloc.get_traced_memory()[1] < 32 << 20
    tracemalloc.stop()
