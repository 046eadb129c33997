"""A village with werewolves among them: hidden roles, goals in conflict, lies, and a fork at the vote.

    python examples/werewolf.py                            200 games, their questions, and one game told again
    matrix run examples/werewolf.py --simulations 200      the games alone
    matrix fork runs 1-1 --at 69 --times 8 --seed 1        eight other ways for one of them to go on

By day everybody speaks twice and then votes whom to hang; by night the wolves agree in private whom to eat, and
the seer looks at one player's true nature. The village wins when the last wolf hangs, the wolves when they are as
many as the others. Nobody here is told who is what: each player adds up, from what is said in the open and from who
turns out to have been what, how much to suspect each of the others.
"""

from __future__ import annotations

import argparse
from collections import Counter

import matrix

NAMES = ("ada", "ben", "cleo", "dan", "eve", "finn", "gus", "hana", "ivo", "jun", "kaya", "leo", "mia", "noor", "otto")
HOUR, MINUTE = 3600, 60
CERTAIN = 9.0


class Player(matrix.Agent):
    """What all have in common, villagers are no more: suspicion that grows and fades by what is heard."""

    side = "village"
    players: list[str]

    def on_start(self) -> None:
        self.others = [name for name in self.players if name != self.id]  # who is alive, but for me
        self.nerve = self.random.random()
        self.suspicion = {name: 0.4 * self.random.random() for name in self.others}
        self.claims: dict[str, set[str]] = {}  # who claims to be the seer, and to have seen which wolves
        self.accused: dict[str, set[str]] = {name: set() for name in self.players}  # by whom
        self.votes: dict[str, str] = {}
        self.win = self.begin_goal("win", side=self.side)
        self.life = self.begin_goal("survive")

    def on_message(self, message: matrix.Message) -> None:
        getattr(self, f"hear_{message.kind}")(message)

    def say(self, kind: str, whom: str) -> None:
        """To everybody who is alive, and to the narrator, who asked."""
        self.send(["narrator", *self.others], kind, whom=whom, day=self.simulation.state["day"])

    # -- what it does when it is asked ---------------------------------------------------------

    def hear_speak(self, message: matrix.Message) -> None:
        suspect = self.suspect()
        if self.suspicion[suspect] + 0.4 * self.nerve > 0.7:
            self.say("accuse", suspect)
        else:
            self.say("wonder", suspect)

    def hear_choose(self, message: matrix.Message) -> None:
        self.say("vote", self.suspect())

    def suspect(self) -> str:
        """Whom it suspects most, at this moment."""
        return max(self.others, key=lambda name: self.suspicion[name] + 0.2 * self.random.random())

    # -- what it makes of what it hears --------------------------------------------------------

    def trust(self, name: str | None) -> float:
        return max(0.0, 1.0 - self.suspicion.get(name or "", 1.0))

    def hear_accuse(self, message: matrix.Message) -> None:
        who, whom = message.sender or "", message["whom"]
        self.accused[whom].add(who)
        if whom == self.id:
            self.suspicion[who] += 0.3  # it knows better
        else:
            self.suspicion[whom] += 0.25 * self.trust(who)

    def hear_claim(self, message: matrix.Message) -> None:
        who, whom = message.sender or "", message["whom"]
        self.claims.setdefault(who, set()).add(whom)
        if whom == self.id:
            self.suspicion[who] = CERTAIN  # it knows better
        elif whom in self.others:
            self.suspicion[whom] += self.trust(who)

    def hear_wonder(self, message: matrix.Message) -> None:
        pass  # a name let fall, no more

    def hear_vote(self, message: matrix.Message) -> None:
        self.votes[message.sender or ""] = message["whom"]

    def hear_tied(self, message: matrix.Message) -> None:
        self.votes.clear()

    def hear_died(self, message: matrix.Message) -> None:
        whom, was_wolf = message["whom"], message["role"] == "wolf"
        if whom == self.id:
            self.life.fail(message["how"])
        if whom not in self.others:
            return
        self.others.remove(whom)
        for name in self.others:
            spoke_against = name in self.accused[whom]
            self.suspicion[name] += spoke_against * (-0.5 if was_wolf else 0.2)
            self.suspicion[name] += (self.votes.get(name) == whom) * (-0.3 if was_wolf else 0.1)
            if message["how"] == "eaten" and whom in self.accused[name]:
                self.suspicion[name] += 0.3  # whom would a wolf rather silence?
            is_exposed = whom in self.claims.get(name, ()) and not was_wolf  # no seer says what is not so
            is_named = message["role"] == "seer" and name in self.claims.get(whom, ())
            if is_exposed or is_named:
                self.suspicion[name] = CERTAIN
        self.votes.clear()

    def hear_over(self, message: matrix.Message) -> None:
        if self.life.is_open:
            self.life.succeed()
        if message["side"] == self.side:
            self.win.succeed()
        else:
            self.win.fail("outwitted")
        self.finish()


class Villager(Player):
    pass


class Seer(Player):
    """Learns one player's nature a night, and must choose when to say so: the wolves listen."""

    def on_start(self) -> None:
        super().on_start()
        self.known: dict[str, bool] = {}
        self.search = self.begin_goal("find_a_wolf")

    def hear_look(self, message: matrix.Message) -> None:
        unknown = [name for name in self.others if name not in self.known]
        self.reply(message, "looked", whom=max(unknown or self.others, key=lambda name: self.suspicion[name]))

    def hear_seen(self, message: matrix.Message) -> None:
        whom = message["whom"]
        self.known[whom] = message["is_wolf"]
        self.suspicion[whom] = CERTAIN if message["is_wolf"] else -CERTAIN
        if message["is_wolf"] and self.search.is_open:
            self.search.succeed(whom=whom, nights=len(self.known))

    def hear_speak(self, message: matrix.Message) -> None:
        wolves = [name for name in self.others if self.known.get(name)]
        if wolves and (self.nerve > 0.3 or len(self.accused[self.id]) > 1):
            self.say("claim", wolves[0])
        else:
            super().hear_speak(message)

    def hear_claim(self, message: matrix.Message) -> None:
        super().hear_claim(message)
        self.suspicion[message.sender or ""] = CERTAIN  # there is one seer

    def hear_over(self, message: matrix.Message) -> None:
        if self.search.is_open:
            self.search.fail("saw only the innocent")
        super().hear_over(message)


class Wolf(Player):
    """Knows the pack, plays the villager, and accuses whom the others suspect already."""

    side = "wolves"

    def on_start(self) -> None:
        super().on_start()
        self.pack: list[str] = []
        self.threat = dict.fromkeys(self.players, 0.0)
        self.hidden = self.begin_goal("stay_unsuspected")

    def hear_pack(self, message: matrix.Message) -> None:
        self.pack = [name for name in message["wolves"] if name != self.id]

    def prey(self) -> list[str]:
        return [name for name in self.others if name not in self.pack]

    def suspect(self) -> str:
        return max(self.prey(), key=lambda name: self.suspicion[name] + 0.2 * self.random.random())

    def lie(self, kind: str, whom: str) -> None:
        self.emit("lied", said=kind, whom=whom)  # the log knows; the others hear only what is said
        self.say(kind, whom)

    def hear_speak(self, message: matrix.Message) -> None:
        seers = [name for name, seen in self.claims.items() if seen & {self.id, *self.pack} and name in self.others]
        if seers and self.nerve > 0.3:
            self.lie("claim", seers[0])  # "no: the seer is me, and the wolf is you"
        elif self.suspicion[suspect := self.suspect()] + 0.4 * self.nerve > 0.7:
            self.lie("accuse", suspect)
        else:
            self.say("wonder", suspect)

    def hear_choose(self, message: matrix.Message) -> None:
        count = Counter(self.votes.values())
        lost = [name for name in self.pack if count[name] > len(self.others) / 2]
        self.say("vote", lost[0] if lost else self.suspect())  # whom it cannot save it helps to hang

    def hear_accuse(self, message: matrix.Message) -> None:
        super().hear_accuse(message)
        self.notice(message, 1.0)

    def hear_claim(self, message: matrix.Message) -> None:
        super().hear_claim(message)
        self.notice(message, 3.0)

    def notice(self, message: matrix.Message, weight: float) -> None:
        """Who speaks against the pack is dangerous; who speaks against me has seen me."""
        if message["whom"] in (self.id, *self.pack):
            self.threat[message.sender or ""] += weight
        if message["whom"] == self.id and self.hidden.is_open:
            self.hidden.fail(message.kind, by=message.sender)

    def hear_hunt(self, message: matrix.Message) -> None:
        """The pack's own channel: the narrator hears it, the village does not."""
        victim = max(self.prey(), key=lambda name: self.threat[name] + 0.2 * self.random.random())
        self.send(["narrator", *(name for name in self.pack if name in self.others)], "prey", whom=victim)

    def hear_prey(self, message: matrix.Message) -> None:
        self.threat[message["whom"]] += 0.5  # the pack agrees more easily than the village

    def hear_over(self, message: matrix.Message) -> None:
        if self.hidden.is_open:
            self.hidden.succeed()
        super().hear_over(message)


ROLES: dict[str, type[Player]] = {"villager": Villager, "seer": Seer, "wolf": Wolf}


class Narrator(matrix.Agent):
    """Leads through nights and days; the only one who knows who is what."""

    roles: dict[str, str]

    async def run(self) -> None:
        self.living = list(self.roles)
        self.send(self.of("wolf"), "pack", wolves=self.of("wolf"))
        await self.night(1, is_bloody=False)
        day = 1
        while not await self.day(day):
            day += 1
            if await self.night(day):
                break
        side = "wolves" if self.of("wolf") else "village"
        self.emit("won", side=side, days=day, living=self.living)
        self.send(list(self.roles), "over", side=side)

    def of(self, role: str) -> list[str]:
        return [name for name in self.living if self.roles[name] == role]

    def enter(self, phase: str, day: int) -> None:
        self.simulation.state.update(phase=phase, day=day)

    async def night(self, day: int, is_bloody: bool = True) -> bool:
        self.enter("night", day)
        for seer in self.of("seer"):
            whom = (await self.ask(seer, "look"))["whom"]
            self.send(seer, "seen", whom=whom, is_wolf=self.roles[whom] == "wolf")
        victim = ""
        if is_bloody:
            for wolf in self.of("wolf"):
                victim = (await self.ask(wolf, "hunt"))["whom"]  # the last one has heard the others
        await self.sleep(8 * HOUR)
        return self.dies(victim, "eaten", day) if victim else False

    async def day(self, day: int) -> bool:
        self.enter("talk", day)
        for _ in range(2):
            for name in self.random.sample(self.living, k=len(self.living)):
                await self.ask(name, "speak")
                await self.sleep(MINUTE)
        self.enter("vote", day)
        votes: Counter[str] = Counter()
        for name in self.random.sample(self.living, k=len(self.living)):  # aloud, one after the other
            votes[(await self.ask(name, "choose"))["whom"]] += 1
        (whom, most), *rest = votes.most_common(2)
        if rest and rest[0][1] == most:
            self.send(self.living, "tied", votes=dict(votes), day=day)
            return False
        return self.dies(whom, "hanged", day, votes=most)

    def dies(self, whom: str, how: str, day: int, **more: int) -> bool:
        """Their role is revealed; whether that ends the game."""
        self.living.remove(whom)
        self.send(list(self.roles), "died", whom=whom, role=self.roles[whom], how=how, day=day, **more)
        wolves = len(self.of("wolf"))
        return wolves == 0 or 2 * wolves >= len(self.living)


async def werewolf(simulation: matrix.Simulation, players: int = 8, wolves: int = 2) -> None:
    """One game, from the first night to the last vote."""
    if not 0 < wolves < players / 2 or players > len(NAMES):
        raise ValueError(f"{wolves} wolves among {players} players: fewer than half, and {len(NAMES)} players at most")
    names = NAMES[:players]
    roles = ["wolf"] * wolves + ["seer"] + ["villager"] * (players - wolves - 1)
    simulation.random.shuffle(roles)
    for name, role in zip(names, roles):
        simulation.spawn(ROLES[role], name, players=names)
    simulation.spawn(Narrator, "narrator", roles=dict(zip(names, roles)))


QUESTIONS = {
    "Who wins?": """
        events won where simulation in $games | count, avg(.days) as days by .side""",
    "Who reaches which goal?": """
        goals where simulation in $games | count(succeeded) / count as rate by name, role""",
    "How many lies do the wolves tell, when they win and when they lose?": """
        simulations where id in $games
        | select count(lied) as lies, (any won(.side = "wolves")) as wolves_win
        | count as games, avg(lies) as lies by wolves_win""",
    "How often is the seer the first to be eaten? (One in six of the innocent is the seer.)": """
        simulations where id in $games
        | select first(.role of died(.how = "eaten")) as first | where first exists
        | count(first = "seer") / count as share, count as games""",
    "What is it worth to the village that the seer speaks, and that a wolf says it was the seer?": """
        simulations where id in $games
        | select (any claim(role = seer)) as seer_speaks, (any claim(role = wolf)) as wolf_too,
                 (any won(.side = "village")) as village
        | count(village) / count as village_wins, count as games by seer_speaks, wolf_too""",
    "Does accusing on the first day pay, for a villager and for the village?": """
        agents where simulation in $games and role = villager
        | select (any accuse(.day = 1)) as accuses, (goal survive succeeded) as lives, (goal win succeeded) as wins
        | count(lives) / count as lives, count(wins) / count as wins, count by accuses""",
    "How good is the village at hanging wolves?": """
        events died where simulation in $games and .how = "hanged"
        | count(.role = "wolf") / count as wolves, count as hanged by .day""",
}


CLOSEST = """
    events died where simulation in $games and .how = "hanged" and .day = 1 and .role != "wolf"
                  and any simulation (any won(.side = "wolves"))
    | sort .votes | limit 1 | select simulation, .whom, .votes"""
FIRST_VOTE = "events choose where simulation = $it | limit 1 | select seq, time"
BRANCHES = """
    simulations where id in $branches
    | select id, seed, first(.whom of died(.day = 1)) as hanged, first(.role of died(.day = 1)) as who_was,
             first(.votes of died(.day = 1)) as votes, last(.side of won) as winner, count(lied) as lies"""


def fork_at_the_vote(store: matrix.Store, games: list[str], times: int) -> None:
    """The closest first vote that hanged an innocent and lost the game: how else could it have gone?"""
    for lost in store.query(CLOSEST, games=games):
        it = lost["simulation"]
        (vote,) = store.query(FIRST_VOTE, it=it)
        print(f"\nIn {it}, {lost['votes']} votes hanged {lost['whom']}, who was no wolf, and the wolves won.")
        print(f"{times} branches from event {vote['seq']}, as the vote begins, each with other chances:\n")
        branches = [branch.id for branch in store.fork(it, at=vote["seq"], seed=1, times=times)]
        print(store.query(BRANCHES, branches=[it, *branches]))
        for won in store.query('events won where simulation in $b and .side = "village" | limit 1', b=branches):
            print(f"\nWhat was said otherwise in {won['simulation']}, which the village won:\n")
            print(store.diff(it, won["simulation"]))


def main() -> None:
    parser = argparse.ArgumentParser(description="Werewolf: hidden roles, and a fork at the vote")
    parser.add_argument("--store", default="runs")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--games", type=int, default=200)
    parser.add_argument("--branches", type=int, default=8)
    given = parser.parse_args()
    outcomes = matrix.run(werewolf, store=given.store, seed=given.seed, simulations=given.games)
    games = [outcome.id for outcome in outcomes]
    print(f"{len(games)} games, {sum(outcome.events for outcome in outcomes):,} events")
    with matrix.open(given.store) as store:
        for question, query in QUESTIONS.items():
            print(f"\n{question}{query}\n\n{store.query(query, games=games)}")
        fork_at_the_vote(store, games, given.branches)


if __name__ == "__main__":
    main()
