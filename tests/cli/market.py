"""A small society for the tests of the command line."""

from __future__ import annotations

import matrix


class Seller(matrix.Agent):
    role = "seller"
    stock: int

    def on_message(self, message: matrix.Message) -> None:
        self.stock -= 1
        self.reply(message, "accept" if self.stock >= 0 else "reject")


class Buyer(matrix.Agent):
    role = "buyer"
    price: float

    async def run(self) -> None:
        async with self.goal("close_deal") as goal:
            await self.sleep(90)
            answer = await self.ask("seller", "offer", price=self.price)
            if answer.kind == "reject":
                goal.fail("sold out")


async def market(simulation: matrix.Simulation, buyers: int = 3, stock: int = 2, price: float = 40) -> None:
    simulation.spawn(Seller, "seller", stock=stock)
    for n in range(1, buyers + 1):
        simulation.spawn(Buyer, f"buyer-{n}", price=price)


async def quarrel(simulation: matrix.Simulation) -> None:
    raise ValueError("they would\nnot talk")


async def letters(simulation: matrix.Simulation) -> None:
    simulation.send("nobody", "hello")


async def endless(simulation: matrix.Simulation) -> None:
    while True:
        await simulation.sleep(1)
        simulation.emit("tick")


async def traffic(simulation: matrix.Simulation, speed: float = 50) -> None:
    simulation.emit("drove", speed=speed)
