"""Mesa: agents are called step by step by their model; they read and change each other, and send no messages.

The same seed gives the same order. Its DataCollector keeps the attributes it was told to, once a step, in memory;
there is no log of what happened, no coroutine, no call to the outside, and no replay.
"""

from __future__ import annotations

import mesa
from measure import Found, Memory, Meter, answer, peak

AGENTS = 1_000


class Giver(mesa.Agent):
    """Gives one to its neighbour: Mesa's way to say something to another."""

    def __init__(self, model: mesa.Model) -> None:
        super().__init__(model)
        self.received = 0
        self.to: Giver = self

    def step(self) -> None:
        self.to.received += 1


class Society(mesa.Model):
    """Agents in a ring."""

    def __init__(self, agents: int, *, is_collected: bool = False) -> None:
        super().__init__(seed=7)
        made = list(Giver.create_agents(self, agents))  # a set of agents is slow to index
        for n, agent in enumerate(made):
            agent.to = made[(n * 7919 + 1) % agents]
        reporters = {"received": "received"}
        self.collector = mesa.DataCollector(agent_reporters=reporters) if is_collected else None

    def step(self) -> None:
        self.agents.shuffle_do("step")
        if self.collector is not None:
            self.collector.collect(self)


def messages(count: int, *, is_collected: bool = False) -> Found:
    """A thousand agents that each give once a step."""
    model = Society(AGENTS, is_collected=is_collected)
    with Meter() as meter:
        for _ in range(count // AGENTS):
            model.step()
    return meter.found(count // AGENTS * AGENTS)


def idle(count: int, *, traced: bool = False) -> Found:
    """Agents of a model."""
    with Memory(traced=traced) as memory:
        with Meter() as meter:
            model = Society(count)
        return meter.found(len(model.agents), **memory.look(count))


def million(count: int) -> Found:
    """One step of a large model."""
    with Meter() as meter:
        Society(count).step()
    return meter.found(count, peak=peak())


if __name__ == "__main__":
    answer(
        {
            "messages": messages,
            "messages_logged": lambda count: messages(count, is_collected=True),
            "idle": idle,
            "idle_traced": lambda count: idle(count, traced=True),
            "million": million,
        },
        "mesa",
    )
