"""Schemas and the check of arguments: what a signature says to a model, and what the model is told when it is wrong."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import functools
import json
import subprocess
import sys
from typing import Annotated, Any, Literal, Optional

import pytest
from pydantic import BaseModel, Field

import matrix
from matrix.errors import ProgramError
from matrix.tools import Tool, ToolArgumentsWrong, as_data, gather, result_text, tools_of


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Passenger(BaseModel):
    name: str = Field(description="As in the passport")
    title: str | None = None


@dataclasses.dataclass
class Place:
    row: int
    seats: list[str] = dataclasses.field(default_factory=list)


def parameters(tool: Tool) -> dict[str, Any]:
    found: dict[str, Any] = tool.schema["function"]["parameters"]
    return found


def refusal(tool: Tool, **arguments: Any) -> list[str]:
    with pytest.raises(ToolArgumentsWrong) as raised:
        tool.check(arguments)
    return str(raised.value).splitlines()[1:]


@matrix.tool
def book(
    flight: str,
    cabin: Literal["economy", "business"],
    passengers: list[Passenger],
    place: Place | None = None,
    colour: Colour = Colour.RED,
    bags: Annotated[int, Field(ge=0, le=5), "Pieces to check in"] = 0,
    note: Optional[str] = None,  # noqa: UP045  # the older spelling is a user's right
) -> str:
    """Book a flight.

    Only after the customer has agreed.

    Args:
        flight: Its number, such as
            'HAT001'.
        cabin (str): Where to sit.

    Returns:
        The reservation's id.
    """
    return f"{flight}/{cabin}/{len(passengers)}"


def test_a_schema_has_names_types_descriptions_and_what_is_required() -> None:
    function = book.schema["function"]
    assert book.schema["type"] == "function"
    assert (function["name"], function["description"]) == (
        "book",
        "Book a flight.\n\nOnly after the customer has agreed.",
    )
    properties = parameters(book)["properties"]
    assert properties["flight"] == {"type": "string", "description": "Its number, such as 'HAT001'."}
    assert properties["cabin"] == {
        "type": "string",
        "enum": ["economy", "business"],
        "description": "Where to sit.",
    }
    assert properties["bags"] == {
        "type": "integer",
        "minimum": 0,
        "maximum": 5,
        "default": 0,
        "description": "Pieces to check in",
    }
    assert properties["passengers"] == {"type": "array", "items": {"$ref": "#/$defs/Passenger"}}
    assert parameters(book)["required"] == ["flight", "cabin", "passengers"]
    assert parameters(book)["additionalProperties"] is False
    assert parameters(book)["$defs"]["Colour"] == {"type": "string", "enum": ["red", "blue"]}
    assert list(parameters(book)["$defs"]["Passenger"]["properties"]) == ["name", "title"]  # no title but this one


def test_arguments_come_as_the_types_that_the_function_has() -> None:
    checked = book.check(
        {"flight": "HAT1", "cabin": "economy", "passengers": [{"name": "Ada"}], "place": {"row": "3"}, "colour": "blue"}
    )
    assert checked == {
        "flight": "HAT1",
        "cabin": "economy",
        "passengers": [Passenger(name="Ada")],
        "place": Place(row=3),
        "colour": Colour.BLUE,
    }
    assert book("HAT1", "economy", []) == "HAT1/economy/0"  # to Python it is the function


def test_each_mistake_is_told_with_its_path_and_reason() -> None:
    wrong = refusal(book, flight=7, cabin="first", passengers=[{"name": "Ada"}, {"titel": "x"}], bag=1)
    assert wrong == [
        "- flight: Input should be a valid string, not 7",
        "- cabin: Input should be 'economy' or 'business', not 'first'",
        "- passengers[1].name: is missing",
        "- bag: there is no such argument; did you mean bags?",
    ]
    assert refusal(book, flight="x", cabin="economy", passengers=[], bags=9)[0].startswith(
        "- bags: Input should be less"
    )
    with pytest.raises(ToolArgumentsWrong, match="the arguments of book are an object, not"):
        book.check([1])  # type: ignore[arg-type]


def test_names_that_pydantic_has_for_itself_are_no_trouble() -> None:
    @matrix.tool
    def odd(schema: str, copy: int = 1, model_config: str = "", _hidden: str = "", json: bool = False) -> None: ...

    assert list(parameters(odd)["properties"]) == ["schema", "copy", "model_config", "_hidden", "json"]
    assert odd.check({"schema": "s", "_hidden": "h", "json": True}) == {"schema": "s", "_hidden": "h", "json": True}


def test_a_strict_schema_requires_everything_and_null_stands_for_the_default() -> None:
    @matrix.tool(strict=True)
    def find(name: str, limit: Annotated[int, "at most"] = 10, who: Passenger | None = None) -> None: ...

    assert find.schema["function"]["strict"] is True
    made = parameters(find)
    assert made["required"] == ["name", "limit", "who"]
    assert made["properties"]["limit"] == {"anyOf": [{"type": "integer"}, {"type": "null"}], "description": "at most"}
    assert made["$defs"]["Passenger"]["required"] == ["name", "title"]
    assert made["$defs"]["Passenger"]["additionalProperties"] is False
    assert "default" not in json.dumps(made)
    assert find.check({"name": "a", "limit": None, "who": None}) == {"name": "a"}


def test_types_that_are_local_to_a_function_are_found() -> None:
    class Local(BaseModel):
        n: int

    @matrix.tool
    def take(one: Local) -> None: ...

    assert take.check({"one": {"n": 1}}) == {"one": Local(n=1)}


def test_what_cannot_be_a_tool_is_refused_by_name_and_reason() -> None:
    with pytest.raises(ProgramError, match="the tool many takes any number of arguments as \\*rest"):

        @matrix.tool
        def many(*rest: int) -> None: ...

    with pytest.raises(ProgramError, match="the tool more takes any number of arguments as \\*\\*rest"):

        @matrix.tool(strict=True)
        def more(**rest: int) -> None: ...

    with pytest.raises(ProgramError, match="may not be called '<lambda>'"):
        matrix.tool(lambda: 1)
    with pytest.raises(ProgramError, match="decorates a function, not 3"):
        matrix.tool(3)  # type: ignore[call-overload]
    with pytest.raises(ProgramError, match="decorates a function, not <class"):
        matrix.tool(Passenger)
    with pytest.raises(ProgramError, match=r"decorates a function, not functools\.partial"):
        matrix.tool(name="part")(functools.partial(print, 1))

    @matrix.tool
    def later(what: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(ProgramError, match="the tool later: a type in its signature is not known: name 'Nowhere'"):
        later.check({})

    @matrix.tool
    def hook(what: threading_lock) -> None: ...

    with pytest.raises(ProgramError, match="the tool hook: "):
        hook.check({})


class threading_lock:
    """Nothing that JSON could say."""


class Shop:
    def __init__(self, price: int) -> None:
        self.cost = price

    @matrix.tool
    def price(self, item: str, /, *, times: int = 1) -> int:
        """What an item costs."""
        return self.cost * times

    @matrix.tool
    @staticmethod
    def opening() -> str:
        return "nine"

    @matrix.tool
    @classmethod
    def kind(cls, loud: bool = False) -> str:
        return cls.__name__.upper() if loud else cls.__name__


class Market(Shop):
    @matrix.tool(name="haggle")
    def bargain(self, offer: int) -> bool:
        return offer > self.cost


def test_methods_are_tools_of_their_object_and_self_is_no_argument() -> None:
    market = Market(40)
    found = {one.name: one for one in tools_of(market)}
    assert list(found) == ["price", "opening", "kind", "haggle"]
    assert list(parameters(found["price"])["properties"]) == ["item", "times"]
    assert found["price"].run({"item": "lamp", "times": 2}) == 80
    assert found["haggle"].run({"offer": 50}) is True
    assert found["kind"].run({"loud": True}) == "MARKET"
    assert found["opening"].run({}) == "nine"
    assert market.price("lamp") == 40
    assert Market(1).price("lamp") == 1  # a bound tool is its object's, not its class's


def test_a_method_is_described_the_same_when_read_from_the_class() -> None:
    assert Shop.price.schema == Shop(1).price.schema


def test_tools_are_gathered_from_functions_and_objects_and_two_of_a_name_refused() -> None:
    shop = Shop(1)
    assert list(gather([book, shop, shop.price])) == ["book", "price", "opening", "kind"]
    assert shop.price == shop.price != Shop(1).price
    assert {shop.price: 1}[shop.price] == 1
    with pytest.raises(ProgramError, match="two tools are called price"):
        gather([Shop(1), Shop(2)])
    with pytest.raises(ProgramError, match="is no tool, and has none"):
        gather([len])


def test_a_decorated_function_keeps_what_its_wrapper_says() -> None:
    def logged(function: Any) -> Any:
        @functools.wraps(function)
        def run(*arguments: Any, **named: Any) -> Any:
            return ["logged", function(*arguments, **named)]

        return run

    @matrix.tool
    @logged
    def double(n: int) -> int:
        """Twice."""
        return 2 * n

    assert list(parameters(double)["properties"]) == ["n"]
    assert double.description == "Twice."
    assert double.run({"n": 4}) == ["logged", 8]


def test_arguments_of_any_other_name_have_the_type_that_is_said_of_them() -> None:
    @matrix.tool
    def tag(name: str, **counts: int) -> Any:
        return name, counts

    assert parameters(tag)["additionalProperties"] == {"type": "integer"}
    assert tag.run(tag.check({"name": "a", "x": "3", "name2": 4})) == ("a", {"x": 3, "name2": 4})
    assert refusal(tag, name="a", x="many")[0].startswith("- x: Input should be a valid integer")


def test_arguments_that_are_not_checked_come_as_they_are() -> None:
    @matrix.tool(check=False)
    def raw(n: int) -> Any:
        return n

    assert raw.run(raw.check({"n": "three"})) == "three"
    assert parameters(raw)["properties"]["n"] == {"type": "integer"}


def test_results_become_plain_data_and_text_for_a_model() -> None:
    when = datetime.datetime(2024, 5, 15, 15, 0)
    assert as_data({"who": Passenger(name="Ada"), "where": Place(3, ["a"]), "when": when, "c": (Colour.RED, b"x")}) == {
        "who": {"name": "Ada", "title": None},
        "where": {"row": 3, "seats": ["a"]},
        "when": "2024-05-15T15:00:00",
        "c": ["red", b"x"],
    }
    assert result_text({"name": "Käse", "n": [1, 2.5, None]}) == '{"name": "Käse", "n": [1, 2.5, null]}'
    assert result_text("as it is\n") == "as it is\n"


def test_without_pydantic_a_tool_can_be_made_and_says_what_it_needs() -> None:
    program = """
import sys
sys.modules["pydantic"] = None
import matrix
@matrix.tool
def add(a: int, b: int) -> int:
    return a + b
print(add(1, 2))
try:
    add.check({})
except matrix.MatrixError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["3", "this needs pydantic: pip install 'matrix-runtime[models]'"]
