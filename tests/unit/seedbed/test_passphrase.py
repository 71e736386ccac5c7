import pytest

from seedbed import UserError, passphrase
from seedbed.passphrase import Crypter, WrongPassphraseError, from_environment, public_passphrase

# Made with `pulumi config set --secret` of CLI v3.232.0 and the passphrase "correct horse".
SALT = "v1:8Iu6HhtgQGI=:v1:eaG7gzvTbt/a6q2G:jG3KqZoquf4cwjXCXtxtZSRb1lzi4A=="
SECRET = "v1:Xb4Z/KzRdOotm564:6AjUz+5APZYz0JX9gYzzHBrid1kb+i/5qe2DHYk0"


@pytest.fixture(scope="module")
def crypter() -> Crypter:
    return Crypter.new("battery staple")


def test_what_is_encrypted_opens_again_with_the_salt_and_the_passphrase(crypter):
    sealed = crypter.encrypt("a secret")
    assert "a secret" not in sealed
    assert Crypter.open(crypter.salt, "battery staple").decrypt(sealed) == "a secret"


def test_a_secret_that_pulumi_encrypted_opens(monkeypatch):
    monkeypatch.setattr(passphrase, "ROUNDS", 1_000_000)
    assert Crypter.open(SALT, "correct horse").decrypt(SECRET) == "said by pulumi"


def test_another_passphrase_is_called_wrong_and_named_by_its_variable(crypter):
    with pytest.raises(WrongPassphraseError, match="PULUMI_CONFIG_PASSPHRASE"):
        Crypter.open(crypter.salt, "battery stable")


@pytest.mark.parametrize("salt", ["", "v1", "v2:AAAA:v1:BBBB:CCCC", "v1:not base64:v1:AAAA:BBBB"])
def test_a_malformed_salt_is_refused_with_the_way_out(salt):
    with pytest.raises(UserError, match="git history"):
        Crypter.open(salt, "x")


@pytest.mark.parametrize(
    "value", ["", "plain", "v1:AAAA", "v1:!!!:BBBB", "v1:AAAAAAAAAAAAAAAA:AAAAAAAAAAAAAAAAAAAAAAAA"]
)
def test_a_secret_of_another_salt_is_refused(crypter, value):
    with pytest.raises(UserError, match="encryptionsalt"):
        crypter.decrypt(value)


def test_neither_key_nor_salt_shows_in_the_representation(crypter):
    assert repr(crypter) == "Crypter(…)"


def test_a_missing_passphrase_names_both_variables():
    with pytest.raises(UserError, match=r"PULUMI_CONFIG_PASSPHRASE \(or PULUMI_CONFIG_PASSPHRASE_FILE"):
        from_environment({})


@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_passphrase_is_refused(value):
    with pytest.raises(UserError, match="empty"):
        from_environment({passphrase.VARIABLE: value})


def test_a_passphrase_comes_from_a_file_without_its_line_end(tmp_path):
    (tmp_path / "p").write_text("from a file\n")
    assert from_environment({passphrase.FILE_VARIABLE: str(tmp_path / "p")}) == "from a file"


def test_the_variable_wins_over_the_file(tmp_path):
    (tmp_path / "p").write_text("from a file\n")
    both = {passphrase.FILE_VARIABLE: str(tmp_path / "p"), passphrase.VARIABLE: "from the variable"}
    assert from_environment(both) == "from the variable"


def test_a_passphrase_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(UserError, match="missing"):
        from_environment({passphrase.FILE_VARIABLE: str(tmp_path / "missing")})


def test_the_published_passphrase_is_read_from_the_example(tmp_path):
    assert public_passphrase(tmp_path) is None
    (tmp_path / ".env.example").write_text("# public\nOTHER=1\nPULUMI_CONFIG_PASSPHRASE=known-to-all\n")
    assert public_passphrase(tmp_path) == "known-to-all"
