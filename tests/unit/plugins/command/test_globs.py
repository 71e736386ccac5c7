"""The path patterns of assetPaths and archivePaths."""

from pathlib import Path

import pytest

from lab.plugins.command.globs import matching, translate
from lab.plugins.protocol import PluginError


@pytest.mark.parametrize(
    ("pattern", "matched", "others"),
    [
        ("*.js", ["a.js", ".js"], ["a/b.js", "a.jsx"]),
        ("**.js", ["a.js", "a/b/c.js"], ["a.ts"]),
        ("src/**", ["src/a", "src/b/c"], ["srca", "src"]),
        ("?.txt", ["a.txt"], ["ab.txt", "/.txt"]),
        ("[a-c].[!x]", ["a.y", "c.z"], ["d.y", "a.x"]),
        ("{one,two/*}.md", ["one.md", "two/x.md"], ["three.md", "two/x/y.md"]),
        ("a\\*b+(c)", ["a*b+(c)"], ["axb+(c)"]),
        ("one,two", ["one,two"], ["one"]),
    ],
)
def test_patterns_mean_what_they_mean_in_gobwas_glob(pattern: str, matched: list[str], others: list[str]) -> None:
    rule = translate(pattern)
    assert [path for path in matched + others if rule.fullmatch(path)] == matched


@pytest.mark.parametrize("pattern", ["[a", "{a,b", "[b-a]"])
def test_a_broken_pattern_is_an_error_that_repeats_it(pattern: str) -> None:
    with pytest.raises(PluginError, match="pattern"):
        translate(pattern)


def test_rules_apply_in_their_order_to_files_only(tmp_path: Path) -> None:
    for name in ("keep/a.txt", "keep/secret.txt", "drop/b.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert matching(tmp_path, ["**", "!**secret.*", "!drop/*"]) == ["keep/a.txt"]
    assert matching(tmp_path, ["!drop/*", "drop/*"]) == ["drop/b.txt"]
    assert matching(tmp_path, ["keep"]) == []
