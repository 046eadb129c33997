"""Customer service: every recorded call again, with the same result; models at the desk; the words of what goes wrong.

Recordings and databases of tau2-bench lie beside the repository (``../shared/data``) or where MATRIX_SHARED_DATA says;
without them the tests that need them are skipped.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import matrix
from examples.customer_service import customer_service, desk_kind, main
from matrix.models import Endpoint
from tests.models.service import Fault, Service

from desks import lamps  # isort: skip  # found once the example has been imported
from desks.desk import Desk, read_bytes, read_json, result_text, told  # isort: skip
from desks.recorded import conversation_of, ids_of, steps_of  # isort: skip

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "examples" / "customer_service.py"
SHARED = Path(os.environ.get("MATRIX_SHARED_DATA", ROOT.parent / "shared" / "data"))
TAU2 = SHARED / "tau2"


def example(*arguments: str | Path, cwd: Path, module: bool = False) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    program = ["-m", "matrix.cli.main"] if module else [EXAMPLE]
    return subprocess.run(
        [sys.executable, *program, *arguments], cwd=cwd, capture_output=True, text=True, env=environment
    )


def compared(store: Path) -> list[tuple[str, bool]]:
    rows = matrix.open(store).query("events compared | select .tool, .result").rows()
    return [(row["tool"], row["result"] == "equal") for row in rows]


# -- the shop for lamps ------------------------------------------------------------------------


def test_a_newcomer_sees_every_call_made_again_and_can_replay_it(tmp_path: Path) -> None:
    done = example(cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 conversations\n" in done.stdout
    assert "cancel_order                  3      3          0\n" in done.stdout
    assert "Which is the first that differs?" in done.stdout
    replayed = example("replay", "runs", "--all", cwd=tmp_path, module=True).stdout.splitlines()
    assert [json.loads(line)["status"] for line in replayed] == ["identical", "identical"]
    forked = example("fork", "runs", "1-1", "--at", "12", cwd=tmp_path, module=True)
    assert forked.returncode == 0, forked.stderr


def test_the_command_line_runs_it(tmp_path: Path) -> None:
    done = example("run", EXAMPLE, "--set", "conversation=refund-1", cwd=tmp_path, module=True)
    assert json.loads(done.stdout)["goals_succeeded"] == 1
    failed = matrix.open(tmp_path / "runs").query("events tool.failed | select agent, .tool, .error").rows()
    assert [(row["agent"], row["error"].splitlines()[0]) for row in failed] == [
        ("assistant", "the arguments of cancel_order are wrong:"),
        ("assistant", "ValueError: the order is sent, only one that is packed can be cancelled"),
    ]


def test_a_result_that_differs_is_told_with_both_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = json.loads(json.dumps(lamps.RECORDED).replace('\\"price\\": 90', '\\"price\\": 91'))
    changed["simulations"][1]["messages"].append(
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "x", "name": "functions.sing", "arguments": {}, "requestor": "assistant"}],
        }
    )
    (tmp_path / "changed.json").write_text(json.dumps(changed))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["customer_service", "--recorded", "changed.json"])
    main()
    different = matrix.open(tmp_path / "runs").query(
        'events compared where .result != "equal" | select .tool, .result, .then, .now'
    )
    assert different.rows() == [
        {
            "tool": "order_lamp",
            "result": "different",
            "then": '{"order_id": "L3", "price": 91}',
            "now": '{"order_id": "L3", "price": 90}',
        },
        {"tool": "functions.sing", "result": "unanswered", "then": None, "now": None},
    ]
    (sung,) = matrix.open(tmp_path / "runs").query('events tool.failed where .tool = "functions_sing"').rows()
    assert sung["data"]["error"] == "Error: Tool 'functions.sing' not found."


def test_what_is_wrong_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cut.json").write_text('{"simulations": [{"id')
    (tmp_path / "list.json").write_text("[1, 2]")
    for arguments in (
        ["--recorded", "cut.json"],
        ["--recorded", "list.json"],
        ["--recorded", "nowhere.json"],
        ["--database", "cut.json"],
    ):
        monkeypatch.setattr(sys, "argv", ["customer_service", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        assert str(left.value).startswith("customer_service: ")
    monkeypatch.setattr(sys, "argv", ["customer_service", "--domain", "retail"])
    with pytest.raises(SystemExit):
        main()
    assert "needs --database and --recorded" in capsys.readouterr().err


# -- models ------------------------------------------------------------------------------------


def clever(body: dict[str, Any]) -> list[dict[str, Any]]:
    """A model that plays Ada, and one that serves her as the task wants it."""
    messages = body["messages"]
    step = sum(message["role"] == "assistant" for message in messages)
    if "You are a customer" in messages[0]["content"]:
        text = ["The floor lamp in place of L1, please.", "Thanks. ###STOP###"][step]
        return [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]
    calls = [("cancel_order", {"order_id": "L1", "reason": "changed mind"}), ("order_lamp", {"customer": "Ada"})]
    calls.append(("order_lamp", {"customer": "Ada", "lamp_id": "floor"}))
    if step == len(calls):
        message: dict[str, Any] = {"role": "assistant", "content": "That makes 90."}
    else:
        name, arguments = calls[step]
        function = {"name": name, "arguments": json.dumps(arguments)}
        message = {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": f"c{step}", "type": "function", "function": function}],
        }
    return [{"index": 0, "message": message, "finish_reason": "stop"}]


def test_models_speak_for_both_sides_and_what_they_did_is_judged(tmp_path: Path) -> None:
    with Service(answer=clever) as service:
        outcome = matrix.run(
            customer_service, store=tmp_path, models=Endpoint(service.url, key="sk-none"), model="clever"
        )
        policy = service.requests[1].body["messages"][0]["content"]
    assert lamps.POLICY in policy
    with matrix.open(tmp_path) as store:
        assert store.query("goals where name = resolve | select status, .reward").rows() == [
            {"status": "succeeded", "reward": 1.0}
        ]
        (failed,) = store.query("events tool.failed | select .error").rows()
        assert failed["error"] == "the arguments of order_lamp are wrong:\n- lamp_id: is missing"
        assert store.replay(outcome.id).status == "identical"


def test_a_conversation_that_a_server_refuses_does_not_end_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    with Service(answer=clever) as service:
        service.next(Fault(400))
        arguments = ["--model", "clever", "--endpoint", service.url, "--conversations", "2"]
        monkeypatch.setattr(sys, "argv", ["customer_service", *arguments])
        main()
    told = capsys.readouterr()
    assert told.out.startswith("2 conversations\n")
    assert told.err.startswith("customer_service: simulation 1-1 failed: ")
    with matrix.open(tmp_path / "runs") as store:
        assert store.query("simulations | select status").rows() == [{"status": "failed"}, {"status": "finished"}]


# -- the words of what goes wrong at a desk ----------------------------------------------------


@pytest.fixture
def airline() -> Desk:
    flight = {
        "flight_number": "HAT1",
        "origin": "JFK",
        "destination": "LAX",
        "scheduled_departure_time_est": "06:00:00",
        "scheduled_arrival_time_est": "09:00:00",
        "dates": {
            "2024-05-16": {
                "status": "available",
                "available_seats": {"business": 1, "economy": 3, "basic_economy": 0},
                "prices": {"business": 900, "economy": 100, "basic_economy": 50},
            },
            "2024-05-14": {"status": "cancelled"},
        },
    }
    ada = {
        "user_id": "ada",
        "name": {"first_name": "Ada", "last_name": "L"},
        "address": {"address1": "1", "address2": "", "city": "x", "country": "USA", "state": "NY", "zip": "1"},
        "email": "a@b.c",
        "dob": "1990-01-01",
        "payment_methods": {
            "gift_1": {"source": "gift_card", "id": "gift_1", "amount": 150},
            "certificate_1": {"source": "certificate", "id": "certificate_1", "amount": 500},
        },
        "saved_passengers": [],
        "membership": "gold",
        "reservations": [],
    }
    data = {"flights": {"HAT1": flight}, "users": {"ada": ada}, "reservations": {}}
    return desk_kind("airline")(json.dumps(data).encode())


def says(desk: Desk, tool: str, **arguments: Any) -> str:
    try:
        return result_text(desk.tool(tool).run(arguments))
    except Exception as error:
        return told(error)


BOOKING: dict[str, Any] = {
    "user_id": "ada",
    "origin": "JFK",
    "destination": "LAX",
    "flight_type": "one_way",
    "cabin": "economy",
    "flights": [{"flight_number": "HAT1", "date": "2024-05-16"}],
    "passengers": [{"first_name": "Ada", "last_name": "L", "dob": "1990-01-01"}],
    "payment_methods": [{"payment_id": "gift_1", "amount": 130}],
    "total_baggages": 0,
    "nonfree_baggages": 0,
    "insurance": "yes",
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"user_id": "bob"}, "Error: User bob not found"),
        ({"flights": [{"flight_number": "HAT2", "date": "2024-05-16"}]}, "Error: Flight HAT2 not found"),
        (
            {"flights": [{"flight_number": "HAT1", "date": "2024-05-17"}]},
            "Error: Flight HAT1 not found on date 2024-05-17",
        ),
        (
            {"flights": [{"flight_number": "HAT1", "date": "2024-05-14"}]},
            "Error: Flight HAT1 not available on date 2024-05-14",
        ),
        ({"cabin": "basic_economy"}, "Error: Not enough seats on flight HAT1"),
        ({"insurance": "no"}, "Error: Payment amount does not add up, total price is 100, but paid 130"),
        (
            {"payment_methods": [{"payment_id": "gift_1", "amount": 151}]},
            "Error: Not enough balance in payment method gift_1",
        ),
        (
            {"payment_methods": [{"payment_id": "gift_2", "amount": 130}]},
            "Error: Payment method gift_2 not found",
        ),
        (
            {"flights": [{"flight_number": "HAT1"}]},
            "Error: 1 validation error for FlightInfo\ndate\n  Field required [type=missing, "
            "input_value={'flight_number': 'HAT1'}, input_type=dict]\n",
        ),
        (
            {"cabin": "first"},
            "Error: 1 validation error for Reservation\ncabin\n  Input should be 'business', 'economy' or "
            "'basic_economy' [type=literal_error, input_value='first', input_type=str]\n",
        ),
        ({"flights": "HAT1"}, "Error: 'str' object has no attribute 'flight_number'"),
        ({"meal": "fish"}, "Error: AirlineTools.book_reservation() got an unexpected keyword argument 'meal'"),
    ],
)
def test_a_booking_that_cannot_be_is_refused_in_the_words_of_the_benchmark(
    airline: Desk, change: dict[str, Any], said: str
) -> None:
    before = airline.digest()
    assert says(airline, "book_reservation", **{**BOOKING, **change}).startswith(said)
    assert airline.digest() == before


def test_a_booking_takes_seats_money_and_whole_certificates(airline: Desk) -> None:
    booked = json.loads(says(airline, "book_reservation", **BOOKING))
    assert (booked["reservation_id"], booked["status"], booked["flights"][0]["price"]) == ("HATHAT", None, 100)
    ada = json.loads(says(airline, "get_user_details", user_id="ada"))
    assert (ada["reservations"], ada["payment_methods"]["gift_1"]["amount"]) == (["HATHAT"], 20.0)
    by_certificate = {**BOOKING, "payment_methods": [{"payment_id": "certificate_1", "amount": 130}]}
    assert json.loads(says(airline, "book_reservation", **by_certificate))["reservation_id"] == "HATHAU"
    assert "certificate_1" not in says(airline, "get_user_details", user_id="ada")
    (found,) = json.loads(says(airline, "search_direct_flight", origin="JFK", destination="LAX", date="2024-05-16"))
    assert found["available_seats"]["economy"] == 1
    more = says(
        airline,
        "update_reservation_baggages",
        reservation_id="HATHAT",
        total_baggages=1,
        nonfree_baggages=1,
        payment_id="gift_1",
    )
    assert more == "Error: Gift card balance is not enough"
    cancelled = json.loads(says(airline, "cancel_reservation", reservation_id="HATHAT"))
    assert [paid["amount"] for paid in cancelled["payment_history"]] == [130, -130]
    assert says(airline, "send_certificate", user_id="ada", amount=50) == (
        "Certificate certificate_3221322 added to user ada with amount 50."
    )
    fresh = desk_kind("airline")(airline.data)
    assert airline.changed_since(fresh) == ["flights/HAT1", "reservations/HATHAT", "reservations/HATHAU", "users/ada"]


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("2 * (3 + 4.50)", "15.0"),
        ("1 / 3", "0.33"),
        ("2 ** 10", "1024.0"),
        ("1 / 0", "Error: division by zero"),
        ("1 +", "Error: invalid syntax (<string>, line 1)"),
        ("__import__", "Error: Invalid characters in expression"),
        ("9 ** 9 ** 9", "Error: Number too large"),
        ("1 (2)", "Error: 'int' object is not callable"),
    ],
)
def test_the_calculator(airline: Desk, expression: str, result: str) -> None:
    assert says(airline, "calculate", expression=expression) == result


def test_missing_arguments_and_unknown_tools_are_told_in_pythons_words(airline: Desk) -> None:
    assert says(airline, "get_user_details") == (
        "Error: AirlineTools.get_user_details() missing 1 required positional argument: 'user_id'"
    )
    assert says(airline, "fly", to="Mars") == "Error: Tool 'fly' not found."


# -- the recordings of the benchmark -----------------------------------------------------------


def truth(domain: str) -> dict[str, Any]:
    file = SHARED / "replay_truth.json"
    if not file.exists():
        pytest.skip(f"no recordings at {SHARED}")
    found: dict[str, Any] = json.loads(file.read_text())["files"][f"tau2/results/gpt-4.1_{domain}.json.gz"]
    return found


@pytest.mark.parametrize(("domain", "calls"), [("airline", 148), ("retail", 299)])
def test_every_recorded_call_gives_the_recorded_text_again(domain: str, calls: int) -> None:
    expected = truth(domain)
    data = read_bytes(TAU2 / "domains" / domain / "db.json.gz")
    whole = read_json(TAU2 / "results" / f"gpt-4.1_{domain}.json.gz")
    desk = desk_kind(domain)(data)
    assert desk.digest() == expected["initial_db_hash"]
    made = changing = 0
    for id in ids_of(whole):
        for step in steps_of(conversation_of(whole, id)):
            for call in step["calls"]:
                made += 1
                assert says(desk, call["name"], **call["arguments"]) == call["answer"]
        if expected["final"][id]["changed"]:
            changing += 1
            if changing % 5 == 1:
                assert desk.digest() == expected["final"][id]["db_hash"]
            desk = desk_kind(domain)(data)  # reading all of a database takes longer than a conversation
    assert desk.digest() == expected["initial_db_hash"]
    assert made == calls == expected["counts"]["exact"]


@pytest.mark.parametrize("domain", ["airline", "retail"])
def test_conversations_of_the_benchmark_run_again_as_simulations(domain: str, tmp_path: Path) -> None:
    expected = truth(domain)["final"]
    files = {
        "database": str(TAU2 / "domains" / domain / "db.json.gz"),
        "policy_file": str(TAU2 / "domains" / domain / "policy.md"),
        "recording": str(TAU2 / "results" / f"gpt-4.1_{domain}.json.gz"),
    }
    changing = [id for id, final in expected.items() if final["changed"]]
    for id in changing[-1:]:
        outcome = matrix.run(customer_service, store=tmp_path, domain=domain, conversation=id, **files)
        with matrix.open(tmp_path) as store:
            (settled,) = store.query(
                "events settled where simulation = $it | select .digest, .changed, .reward, .recorded_reward",
                it=outcome.id,
            ).rows()
            assert store.replay(outcome.id).status == "identical"
        final = expected[id]
        assert (settled["digest"], settled["changed"]) == (final["db_hash"], final["changed"])
        assert (settled["reward"], settled["recorded_reward"]) == (
            final["reward_recomputed"],
            final["reward_recorded"],
        )
    results = compared(tmp_path)
    assert results
    assert all(equal for _, equal in results)
