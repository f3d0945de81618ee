#!/usr/bin/env python3
"""The judges' own tests: a liar in each place must be caught, and cases that would check nothing are not taken."""

import json
import tempfile
import unittest
from dataclasses import replace
from pathlib import Path

from judge import cases, client, law, seen
from judge.cases import Case, Deviation
from judge.client import Answer, Outcome
from judge.law import Passed
from judge.seen import Seen
from judge.servers import BACKENDS, HERE
from judge.system import Line

PLANS = {plan.name: plan for plan in cases.read()}


class Law(unittest.TestCase):
    """Who sees what, and what the law says of it."""

    def setUp(self) -> None:
        self.case = PLANS["pipe-two"].at("x")
        self.paths = ["/x/pipe-two", "/x/pipe-two/second", "/x/pipe-two/after"]
        self.outcome = Outcome([Answer(200, f"GET {path}", own=False) for path in self.paths])
        self.lines = [Line("GET", path, 200, 1) for path in self.paths]
        self.seen = [Seen.of("GET", path, b"", whole=True) for path in self.paths]

    def check(self, what: str, **changed: object) -> None:
        """Catches exactly this; empty: nothing."""
        there = {"case": self.case, "outcome": self.outcome, "lines": self.lines, "seen": self.seen, **changed}
        found = law.breaches(**there)  # type: ignore[arg-type]
        self.assertEqual([what] if what else [], [it.split(":")[0] for it in found][:1] if what else found)

    def test_agreement_is_no_breach(self) -> None:
        self.check("")

    def test_a_smuggled_request_is_caught_at_the_back_end(self) -> None:
        smuggled = Seen.of("GET", "/x/pipe-two/smuggled", b"", whole=True)
        self.check("back end", seen=[*self.seen, smuggled])

    def test_a_request_that_is_seen_twice_is_caught(self) -> None:
        self.check("back end", seen=[*self.seen, self.seen[0]])

    def test_a_lost_request_is_caught(self) -> None:
        self.check("back end", seen=self.seen[:-1])

    def test_a_body_of_another_length_is_caught(self) -> None:
        self.check("back end", seen=[Seen.of("GET", self.paths[0], b"x", whole=True), *self.seen[1:]])

    def test_a_request_that_nobody_logged_is_caught(self) -> None:
        self.check("gateway", lines=self.lines[1:])

    def test_another_answer_is_caught(self) -> None:
        swapped = [self.outcome.answers[1], self.outcome.answers[0], self.outcome.answers[2]]
        self.check("client", outcome=Outcome(swapped))

    def test_an_answer_too_many_is_caught(self) -> None:
        self.check("client", outcome=Outcome([*self.outcome.answers, self.outcome.answers[0]]))

    def test_a_connection_that_ends_early_is_caught(self) -> None:
        self.check("client", outcome=Outcome(self.outcome.answers, ended=True))

    def test_a_second_try_of_an_unsafe_request_is_caught(self) -> None:
        case = PLANS["cl-body"].at("x")
        path = "/x/cl-body"
        there = law.breaches(
            case,
            Outcome([Answer(200, f"POST {path}", own=False), Answer(200, f"GET {path}/after", own=False)]),
            [Line("POST", path, 200, 2), Line("GET", f"{path}/after", 200, 1)],
            [Seen.of("POST", path, case.reads[0].body, whole=True), Seen.of("GET", f"{path}/after", b"", whole=True)],
        )
        self.assertEqual(["gateway: tried again"], [it[:20] for it in there])

    def test_fields_that_must_not_travel_are_caught(self) -> None:
        self.check("back end", seen=[replace(self.seen[0], wrong="TE 'gzip'"), *self.seen[1:]])

    def test_a_refused_case_reaches_nobody(self) -> None:
        case = PLANS["cl-te"].at("x")
        refused = Outcome([Answer(400, "", own=True)], ended=True)
        self.assertEqual([], law.breaches(case, refused, [], []))
        reached = [Seen.of("POST", "/x/cl-te", b"", whole=True)]
        self.assertEqual(1, len(law.breaches(case, refused, [], reached)))
        self.assertEqual(1, len(law.breaches(case, replace(refused, ended=False), [], [])))
        by_back_end = Outcome([Answer(400, "", own=False)], ended=True)
        self.assertNotEqual([], law.breaches(case, by_back_end, [], []))

    def test_a_broken_body_may_begin_and_must_not_end(self) -> None:
        case = PLANS["chunk-plus"].at("x")
        outcome = Outcome([Answer(400, "", own=True)], ended=True)
        cut = Seen.of("POST", "/x/chunk-plus", b"", whole=False)
        line = Line("POST", "/x/chunk-plus", 400, 1)
        self.assertEqual([], law.breaches(case, outcome, [line], [cut]))
        self.assertEqual(1, len(law.breaches(case, outcome, [line], [replace(cut, whole=True)])))
        self.assertEqual(1, len(law.breaches(case, outcome, [], [replace(cut, path="/x/chunk-plus/smuggled")])))

    def test_a_deviation_excuses_that_answer_and_nothing_else(self) -> None:
        deviation = Deviation("refused", ())
        outcome = Outcome([Answer(400, "", own=False), *self.outcome.answers[1:]])
        lines = [Line("GET", self.paths[0], 400, 1), *self.lines[1:]]
        self.assertEqual([], law.breaches(self.case, outcome, lines, self.seen[1:], deviation))
        self.assertNotEqual([], law.breaches(self.case, outcome, lines, self.seen, deviation))
        self.assertNotEqual([], law.breaches(self.case, outcome, lines, self.seen[1:]))


class Fronts(unittest.TestCase):
    """The law behind a proxy."""

    def setUp(self) -> None:
        self.passed = [Passed("GET", "/by-x/a", "GET /by-x/a"), Passed("GET", "/by-x/b", "")]
        self.outcome = Outcome([Answer(200, "GET /by-x/a", own=False), Answer(400, "", own=True)])
        self.lines = [Line("GET", "/by-x/a", 200, 1)]
        self.seen = [Seen.of("GET", "/by-x/a", b"", whole=True)]

    def test_agreement_is_no_breach(self) -> None:
        self.assertEqual([], law.front_breaches(self.passed, self.outcome, self.lines, self.seen))

    def test_two_for_one_is_caught_on_either_side(self) -> None:
        more = Seen.of("GET", "/by-x/c", b"", whole=True)
        self.assertEqual(1, len(law.front_breaches(self.passed, self.outcome, self.lines, [*self.seen, more])))
        line = Line("GET", "/by-x/c", 200, 1)
        self.assertEqual(1, len(law.front_breaches(self.passed, self.outcome, [*self.lines, line], [*self.seen, more])))

    def test_another_answer_is_caught(self) -> None:
        swapped = [replace(self.passed[0], method="POST")]
        self.assertEqual(1, len(law.front_breaches(swapped, self.outcome, self.lines, self.seen)))
        other = Outcome([Answer(200, "GET /by-x/z", own=False)])
        self.assertEqual(1, len(law.front_breaches(self.passed, other, self.lines, self.seen)))


class Data(unittest.TestCase):
    """The cases and deviations as they are written."""

    def test_every_case_has_its_own_name_and_is_about_something(self) -> None:
        written = json.loads((HERE / "cases.json").read_text(encoding="utf-8"))["cases"]
        self.assertEqual(len(written), len(PLANS))
        for plan in PLANS.values():
            case: Case = plan.at("x")
            self.assertTrue(case.reads or case.begun or case.refusal or case.innocent, plan.name)

    def test_places_are_filled_in_and_lengths_are_right(self) -> None:
        case = PLANS["cl-body"].at("some")
        smuggled = b"GET /some/cl-body/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
        self.assertEqual(smuggled, case.reads[0].body)
        self.assertIn(b"Content-Length: %d\r\n\r\n%b" % (len(smuggled), smuggled), case.send)
        self.assertTrue(case.send.endswith(b"GET /some/cl-body/after HTTP/1.1\r\nHost: a\r\n\r\n"))
        self.assertNotIn(b"{", b"".join(plan.at("x").send for plan in PLANS.values()))

    def test_a_case_with_a_mistake_is_not_taken(self) -> None:
        wrongs: list[dict[str, object]] = [{"then": "opne"}, {"red": []}, {"then": "40"}]
        for wrong in wrongs:
            with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
                json.dump({"cases": [{"case": "a", "about": "b", "send": "", **wrong}]}, file)
                file.flush()
                self.assertRaises(ValueError, cases.read, Path(file.name))

    def test_deviations_are_of_servers_and_cases_that_there_are(self) -> None:
        servers = {server.name for server in BACKENDS}
        written = json.loads((HERE / "deviations.json").read_text(encoding="utf-8"))["servers"]
        self.assertLessEqual(set(written), servers)
        for server, known in written.items():
            self.assertLessEqual(set(known), set(PLANS), server)
            self.assertEqual(set(known), set(cases.deviations(server)))

    def test_nginx_says_a_body_and_the_judge_its_digest(self) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
            file.write('{"method":"POST","path":"/x","body":"hello","whole":true}\n')
            file.flush()
            self.assertEqual([Seen.of("POST", "/x", b"hello", whole=True)], list(seen.read(Path(file.name))))

    def test_the_client_waits_longer_than_a_server_may(self) -> None:
        self.assertGreater(client.PATIENCE, 5)


if __name__ == "__main__":
    unittest.main()
