"""Parameters of a request: what a task declares of them is checked here, offered by the client and the command line.

It is read before a command is known, so neither numpy nor pydantic is imported with it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from functools import cache
from typing import Annotated, Any, ClassVar, TypeVar, dataclass_transform, get_args, get_origin, get_type_hints

from trunkline.core.errors import InvalidRequestError
from trunkline.core.text import listed

_REFUSED = ("unexpected_keyword_argument", "extra_forbidden")


@dataclass(frozen=True)
class Option:
    """What there is to say of a parameter beside its type: `Annotated[int, Option("How many.", low=1)]`.

    help: a sentence for people. low, high: bounds of a number. flag: on the command line, "--NAME" by default; with
    two, as in "--masks/--no-masks", the second says no. metavar: what stands for a value there. argument: name in
    Python, where it is not the name of the parameter.
    """

    help: str
    low: float | None = None
    high: float | None = None
    flag: str = ""
    metavar: str | None = None
    argument: str = ""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        schema = handler(source)
        inner = schema["schema"] if schema["type"] == "nullable" else schema
        if inner["type"] in ("int", "float"):
            inner |= {"ge": self.low} if self.low is not None else {}
            inner |= {"le": self.high} if self.high is not None else {}
            inner |= {"allow_inf_nan": False} if inner["type"] == "float" else {}
        if inner["type"] == "tuple":
            from pydantic_core.core_schema import no_info_before_validator_function

            return no_info_before_validator_function(_listed, schema)
        return schema


@dataclass_transform(frozen_default=True)
class Params:
    """Base of a task's request parameters: fields with types and defaults. Unknown names are refused."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        dataclass(frozen=True)(cls)


dataclass(frozen=True)(Params)
P = TypeVar("P", bound=Params)


@dataclass(frozen=True)
class Parameter:
    """A parameter as it was declared. kind: its type, without None; items: of a list, the type of one."""

    name: str
    kind: Any
    default: Any
    option: Option

    @property
    def argument(self) -> str:
        """Its name in Python."""
        return self.option.argument or self.name

    @property
    def flag(self) -> str:
        return self.option.flag or f"--{self.argument.replace('_', '-')}"

    @property
    def is_list(self) -> bool:
        return get_origin(self.kind) is tuple


def parameters_of(model: type[Params]) -> tuple[Parameter, ...]:
    """Those that the model declares, in their order."""
    hints = get_type_hints(model, include_extras=True)
    return tuple(
        _parameter(each.name, hints[each.name], None if each.default is MISSING else each.default)
        for each in fields(model)  # type: ignore[arg-type]
    )


def parse_params(model: type[P], params: Mapping[str, Any]) -> P:
    """Check request parameters against a task's model. Raises InvalidRequestError that names the parameter."""
    from pydantic import ValidationError

    kind: Any = model
    try:
        parsed: P = _adapter(kind).validate_python(dict(params))
    except ValidationError as error:
        fault = error.errors()[0]
        name = ".".join(str(part) for part in fault["loc"]) or "params"
        known = listed(each.name for each in fields(model))  # type: ignore[arg-type]
        what = "there is no such one" if fault["type"] in _REFUSED else fault["msg"]
        raise InvalidRequestError(
            f"parameter {name!r}: {what} (parameters of this head: {known})", parameter=name
        ) from error
    return parsed


@cache
def _adapter(model: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(model)


def _parameter(name: str, hint: Any, default: Any) -> Parameter:
    option = Option("")
    if get_origin(hint) is Annotated:
        hint, *more = get_args(hint)
        option = next((each for each in more if isinstance(each, Option)), option)
    kinds = [each for each in get_args(hint) if each is not type(None)] if type(None) in get_args(hint) else [hint]
    return Parameter(name, kinds[0], default, option)


def _listed(value: object) -> object:
    """One name alone is a list of it: the parameters of the Open Inference Protocol know no lists."""
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, Sequence) else value
