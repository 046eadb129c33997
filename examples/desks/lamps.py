"""The desk of a tiny shop for lamps, with its policy and two conversations: all that is needed for a first look."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel

import matrix
from desks.desk import Database, Desk, plain


class Lamp(BaseModel):
    name: str
    price: int
    stock: int


class Order(BaseModel):
    customer: str
    lamp: str
    count: int
    status: Literal["packing", "sent", "cancelled"]


class LampDatabase(Database):
    lamps: dict[str, Lamp]
    orders: dict[str, Order]


class LampTools(Desk):
    """Look up and cancel orders, and sell lamps."""

    tables = LampDatabase
    db: LampDatabase

    def order(self, order_id: str) -> Order:
        if order_id not in self.db.orders:
            raise ValueError(f"there is no order {order_id}")
        return self.db.orders[order_id]

    @matrix.tool(inside=True)
    def list_lamps(self) -> list[dict[str, Any]]:
        """All lamps, with prices and how many are there."""
        return [{"lamp_id": lamp_id, **plain(lamp)} for lamp_id, lamp in self.db.lamps.items()]

    @matrix.tool(inside=True)
    def get_order(self, order_id: str) -> dict[str, Any]:
        """All about an order.

        Args:
            order_id: Such as 'L1'.
        """
        return plain(self.order(order_id))

    @matrix.tool(inside=True)
    def cancel_order(self, order_id: str, reason: Literal["changed mind", "too late", "broken"]) -> dict[str, Any]:
        """Cancel an order that was not sent yet.

        Args:
            order_id: Such as 'L1'.
            reason: What the customer says.
        """
        order = self.order(order_id)
        if order.status != "packing":
            raise ValueError(f"the order is {order.status}, only one that is packed can be cancelled")
        order.status = "cancelled"
        self.db.lamps[order.lamp].stock += order.count
        return plain(order)

    @matrix.tool(inside=True)
    def order_lamp(self, customer: str, lamp_id: str, count: int = 1) -> dict[str, Any]:
        """Sell lamps to a customer.

        Args:
            customer: Such as 'Ada'.
            lamp_id: Such as 'desk'.
            count: How many.
        """
        if lamp_id not in self.db.lamps:
            raise ValueError(f"there is no lamp {lamp_id}")
        lamp = self.db.lamps[lamp_id]
        if not 1 <= count <= lamp.stock:
            raise ValueError(f"{lamp.stock} of them are there")
        lamp.stock -= count
        order_id = f"L{len(self.db.orders) + 1}"
        self.db.orders[order_id] = Order(customer=customer, lamp=lamp_id, count=count, status="packing")
        return {"order_id": order_id, "price": lamp.price * count}


POLICY = """\
# The lamp shop

- Look an order up before you say anything about it.
- An order is cancelled only while it is being packed, and only when the customer has said yes to it.
- Nobody gets a refund for an order that was sent: hand such a customer over to a person.
- One tool at a time, and be brief."""

DATABASE = json.dumps(
    {
        "lamps": {
            "desk": {"name": "desk lamp", "price": 40, "stock": 3},
            "floor": {"name": "floor lamp", "price": 90, "stock": 1},
        },
        "orders": {
            "L1": {"customer": "Ada", "lamp": "desk", "count": 2, "status": "packing"},
            "L2": {"customer": "Ben", "lamp": "floor", "count": 1, "status": "sent"},
        },
    }
).encode()


def _user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def _says(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def _uses(id: str, name: str, arguments: dict[str, Any], answer: str) -> list[dict[str, Any]]:
    call = {"id": id, "name": name, "arguments": arguments, "requestor": "assistant"}
    return [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "id": id, "content": answer, "requestor": "assistant"},
    ]


_CANCELLED = '{"customer": "Ada", "lamp": "desk", "count": 2, "status": "cancelled"}'

#: In the form of tau2-bench's result files.
RECORDED: dict[str, Any] = {
    "tasks": [
        {
            "id": "swap",
            "user_scenario": "You are Ada. You want the floor lamp in place of the desk lamps of your order L1.",
            "evaluation_criteria": {
                "actions": [
                    {"name": "cancel_order", "arguments": {"order_id": "L1", "reason": "changed mind"}},
                    {"name": "order_lamp", "arguments": {"customer": "Ada", "lamp_id": "floor"}},
                ],
                "communicate_info": ["90"],
                "reward_basis": ["DB", "COMMUNICATE"],
            },
        },
        {
            "id": "refund",
            "user_scenario": "You are Ben. Your order L2 came, and you want your money back.",
            "evaluation_criteria": {"actions": [], "communicate_info": [], "reward_basis": ["DB", "COMMUNICATE"]},
        },
    ],
    "simulations": [
        {
            "id": "swap-1",
            "task_id": "swap",
            "termination_reason": "user_stop",
            "reward_info": {"reward": 1.0},
            "messages": [
                _says("Good morning, the lamp shop."),
                _user("I'd like the floor lamp in place of the desk lamps I ordered, L1."),
                *_uses("c1", "get_order", {"order_id": "L1"}, _CANCELLED.replace("cancelled", "packing")),
                _says(
                    "They are being packed still. Shall I cancel the two desk lamps, and order the floor lamp for 90?"
                ),
                _user("Yes, please."),
                *_uses("c2", "cancel_order", {"order_id": "L1", "reason": "changed mind"}, _CANCELLED),
                *_uses("c3", "order_lamp", {"customer": "Ada", "lamp_id": "floor"}, '{"order_id": "L3", "price": 90}'),
                _says("Done: your floor lamp is order L3."),
                _user("###STOP###"),
            ],
        },
        {
            "id": "refund-1",
            "task_id": "refund",
            "termination_reason": "user_stop",
            "reward_info": {"reward": 1.0},
            "messages": [
                _says("Good morning, the lamp shop."),
                _user("I want my money back for order L2, the lamp is too bright."),
                *_uses(
                    "c1",
                    "cancel_order",
                    {"order_id": "L2", "reason": "too bright"},
                    "the arguments of cancel_order are wrong:\n"
                    "- reason: Input should be 'changed mind', 'too late' or 'broken', not 'too bright'",
                ),
                *_uses(
                    "c2",
                    "cancel_order",
                    {"order_id": "L2", "reason": "changed mind"},
                    "ValueError: the order is sent, only one that is packed can be cancelled",
                ),
                *_uses("c3", "transfer_to_human_agents", {"summary": "Ben wants a refund"}, "Transfer successful"),
                _says("I hand you over to a colleague."),
                _user("###TRANSFER###"),
            ],
        },
    ],
}
