"""Options that several commands have in common: the fields of a dataclass, which a command gets as one argument."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from typing import Any, get_type_hints

Command = Callable[..., None]


def with_options(**groups: type) -> Callable[[Command], Command]:
    """Return what gives a command an option for each field of these dataclasses; it gets them by the names of their arguments.

    An option of the command's own with the name of a field stays the command's.
    """

    def decorate(command: Command) -> Command:
        asked = inspect.signature(command, eval_str=True)
        parameters = [one for one in asked.parameters.values() if one.name not in groups]
        added = {
            argument: [field for field in fields(group) if field.name not in asked.parameters]
            for argument, group in groups.items()
        }  # fmt: skip
        for argument, group in groups.items():
            options = get_type_hints(group, include_extras=True)
            parameters += [
                inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=one.default, annotation=options[one.name])
                for one in added[argument]
            ]

        @wraps(command)
        def run(**given: Any) -> None:  # noqa: ANN401 - typer hands over what the options say
            made = {
                argument: group(**{field.name: given.pop(field.name) for field in added[argument]})
                for argument, group in groups.items()
            }  # fmt: skip
            command(**given, **made)

        run.__signature__ = asked.replace(parameters=parameters)  # type: ignore[attr-defined]  # what `inspect` and typer read
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        return run

    return decorate


def given(options: object) -> list[str]:
    """Return the fields of such a dataclass that differ from what they are by default, as options are written."""
    hints = get_type_hints(type(options), include_extras=True)
    there = [(field.name, getattr(options, field.name), field.default) for field in fields(options)]  # type: ignore[arg-type]
    return [_written(name, hints[name], value) for name, value, default in there if value != default]


def _written(name: str, annotation: Any, value: object) -> str:  # noqa: ANN401 - a type hint
    """Return an option as its field declares it: with a name of its own, or one for yes and one for no."""
    # Within `Annotated` the first of typer's declarations stands in the place of a default.
    every = [one for info in annotation.__metadata__ for one in (info.default, *(info.param_decls or ()))]
    declared = [one for one in every if isinstance(one, str) and one.startswith("--")]
    yes, _, no = (declared[0] if declared else f"--{name.replace('_', '-')}").partition("/")
    return no if no and value is False else yes
