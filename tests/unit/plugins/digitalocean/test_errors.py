import pytest

from lab.plugins.digitalocean.errors import ApiError


@pytest.mark.parametrize(
    ("status", "message", "remedy"),
    [
        (401, "Unable to authenticate you", "set DIGITALOCEAN_TOKEN to one that is valid"),
        (403, "You are not authorized to perform this operation", "whose scopes allow this"),
        (409, "name is already in use", "pulumi import"),
        (422, "creating this/these droplet(s) will exceed your droplet limit", "have the account's limit raised"),
        (422, "the size is currently unavailable in fra1", "another size or region"),
        (429, "API Rate limit exceeded.", "run it again in a few minutes"),
        (500, "", "see its status page"),
    ],
)
def test_an_error_has_the_apis_words_its_number_and_the_way_out(status: int, message: str, remedy: str) -> None:
    text = str(ApiError(status, "code", message, "abc"))
    assert f"({status} code, request abc)" in text
    assert message in text
    assert remedy in text


def test_a_refusal_that_explains_itself_gets_no_advice() -> None:
    said = "Can not delete VPC with members"
    assert str(ApiError(409, "conflict", said)) == f"{said} (409 conflict)"
