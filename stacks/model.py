"""What the sections of a stack's settings have in common."""

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

PROJECT = "seedbed"


class Model(BaseModel):
    """A section or a part of one: keys in camel case, unknown ones refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)
