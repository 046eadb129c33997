"""`--endpoint`: where `matrix run` and `fork` ask models, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

import matrix
from tests.cli.conftest import Shell
from tests.models.service import Service

TALK = """
import matrix


class Speaker(matrix.Agent):
    async def run(self):
        for model in ("large", "small"):
            self.emit("said", text=(await self.model("Hello", model=model)).text)


async def talk(simulation):
    simulation.spawn(Speaker, "ada")
"""


@pytest.fixture
def talk(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    (place / "talk.py").write_text(TALK)
    return place


def asked_at(place: Path, simulation: str) -> list[str]:
    with matrix.open(place / "fresh") as store:
        called = [e for e in store.events(simulation) if e.kind in ("model.called", "model.completed")]
    return [e.data["endpoint"] for e in called if "endpoint" in e.data]


def test_each_model_is_asked_where_it_is_and_a_fork_elsewhere(talk: Path, shell: Shell) -> None:
    with Service() as one, Service() as two:
        done = shell(f"matrix run talk.py --store fresh --endpoint {one.url} --endpoint small={two.url}")
        assert done.returncode == 0, done.stderr
        assert (len(one.requests), len(two.requests)) == (1, 1)
        assert asked_at(talk, "1-1") == [one.url, two.url]
        done = shell(f"matrix fork fresh 1-1 --at 3 --endpoint {two.url}")
        assert done.returncode == 0, done.stderr
        assert (len(one.requests), len(two.requests)) == (1, 3)
        assert asked_at(talk, "1-2")[-1] == two.url


def test_a_resume_takes_endpoints_too(talk: Path, shell: Shell) -> None:
    with Service() as service:
        assert shell(f"matrix run talk.py --store fresh --endpoint {service.url}").returncode == 0
        done = shell(f"matrix resume fresh --endpoint {service.url}")
    assert (done.returncode, done.stderr.partition(";")[0]) == (0, "fresh: nothing to resume")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("small", '--endpoint is URL or MODEL=URL, such as http://localhost:8000/v1, not "small"'),
        ("small=", '--endpoint is URL or MODEL=URL, such as http://localhost:8000/v1, not "small="'),
        ("small=localhost:8000", "--endpoint: "),
        ("http://a/v1 --endpoint http://b/v1", "--endpoint is given twice for all models"),
        ("m=http://a/v1 --endpoint m=http://b/v1", '--endpoint is given twice for the model "m"'),
    ],
)
def test_what_is_no_endpoint_is_refused_before_anything_is_recorded(
    given: str, said: str, talk: Path, shell: Shell
) -> None:
    done = shell(f"matrix run talk.py --store fresh --endpoint {given}")
    assert done.returncode == 2
    assert said in done.stderr
    assert not (talk / "fresh").exists()
