"""What another policy would bring, from hours of look-ups and labelled pairs."""

import pytest

from eventstream.cache.advice import LEAST_PAIRS, Advice, InForce, Option, advice
from eventstream.cache.evidence import Evidence
from eventstream.cache.histogram import HistogramWindow
from eventstream.cache.similarity import threshold_for
from eventstream.cache.trust import Counts, KindEvidence

MODEL = "local/all-MiniLM-L6-v2"


def window(**changes: object) -> HistogramWindow:
    """1,000 look-ups: 300 exact, 100 harmless, 200 with other numbers, 100 opposites, 300 far."""
    values: dict[str, object] = {
        "task_type": "classification",
        "hour_start": 0,
        "outcomes": {"exact": 300, "semantic": 100, "near_miss": 300, "miss": 300},
        "similarities": {("semantic", 97): 100, ("near_miss", 96): 300, ("miss", 60): 300},
        "kinds": {},
        "pairs": {(97, ""): 100, (96, "number"): 200, (96, "opposite"): 100},
    }
    return HistogramWindow(**(values | changes))  # type: ignore[arg-type]


def evidence(*, numbers: tuple[int, int] = (600, 0), harmless: int = 90) -> Evidence:
    """Other numbers agree, opposites do not; `numbers`: pairs that agreed, and that did not."""
    return Evidence(
        {
            "number": KindEvidence(1, 0, {96: Counts(*numbers)}),
            "opposite": KindEvidence(2, 0, {96: Counts(0, 300)}),
            "": KindEvidence(3, 0, {97: Counts(harmless, 0)}),
        },
        MODEL,
    )


def in_force(policy: str = "guarded", check_percent: float | None = None) -> InForce:
    return InForce(policy, threshold_for(MODEL, "guarded"), 0.85, check_percent)


def read(found: Advice, name: str) -> Option:
    [option] = [each for each in found.options if each.name == name]
    return option


def test_each_policy_gives_what_it_would_have_given() -> None:
    found = advice("classification", [window()], [evidence()], in_force(), 100)

    assert found.in_force.hits.value == pytest.approx(0.399)
    # Checked hits are no hits: 1 %; with `bounded` 5 % of the harmless ones, 20 % of the others.
    assert read(found, "bounded 2 %").hits.value == pytest.approx((300 + 95 + 160) / 1000)
    assert read(found, "threshold 0.95").hits.value == pytest.approx((300 + 0.99 * 400) / 1000)
    assert found.repeats == pytest.approx(0.7)


@pytest.mark.parametrize("check_percent", [0, 50])
def test_what_a_stream_checks_it_would_check_under_another_threshold(check_percent: float) -> None:
    """Or fewer checks would be sold as a lower threshold."""
    seen = window(similarities={("semantic", 97): 100}, pairs={(97, ""): 100})
    found = advice("c", [seen], [evidence()], in_force(check_percent=check_percent), 100)

    lower = read(found, "guarded 0.80")
    assert lower.hits.value == found.in_force.hits.value
    assert lower.model_calls == pytest.approx(1)
    # `bounded` needs some; the other policies are checked as often as this one.
    share = max(1, check_percent) / 100
    assert read(found, "bounded 2 %").hits.value == pytest.approx(0.3 + 0.1 * (1 - share))


def test_wrong_hits_are_told_with_their_uncertainty() -> None:
    found = advice("classification", [window()], [evidence()], in_force(), 100)
    bounded, generous = read(found, "bounded 2 %").wrong, read(found, "threshold 0.95").wrong

    assert bounded is not None
    assert bounded.value == 0.0
    assert 0.005 < bounded.high < 0.03
    assert generous is not None
    # 300 of 400 candidates had differences, a third of which were wrong.
    assert generous.low < 0.25 < generous.high
    assert generous.value == pytest.approx(0.25)


def test_money_and_model_calls_are_against_the_policy_in_force() -> None:
    option = read(advice("c", [window()], [evidence()], in_force(), 100), "bounded 2 %")

    assert option.saved_microdollars_per_1000 is not None
    assert option.saved_microdollars_per_1000.value == pytest.approx(1000 * 100 * 0.156)
    assert option.model_calls == pytest.approx(445 / 601)


def test_without_a_price_no_money_is_told() -> None:
    found = advice("c", [window()], [evidence()], in_force(), None)

    assert found.in_force.saved_microdollars_per_1000 is None
    assert "$" not in found.line


def test_the_sentence_names_what_would_bring_more() -> None:
    found = advice("classification", [window()], [evidence()], in_force(), 100)

    assert found.line == (
        "classification: guarded 0.85 answers 40 % from the cache; bounded 2 % would answer 56 %"
        " (52 to 59 %) with 26 % fewer model calls, saving $0.0156 per 1,000 events, and at most"
        " 1.4 % of its semantic hits wrong (95 %, by 690 labelled pairs)"
    )


@pytest.mark.parametrize(
    ("lower", "advised"),
    [
        (Counts(400, 0), True),
        (Counts(400, 20), False),
        # However many pairs speak for what is above the threshold.
        (Counts(40, 0), False),
    ],
)
def test_a_lower_threshold_is_advised_only_where_its_own_pairs_are_right(
    lower: Counts, advised: bool
) -> None:
    seen = window(
        similarities={("semantic", 97): 100, ("miss", 82): 300},
        pairs={(97, ""): 100},
    )
    learned = Evidence({"": KindEvidence(3, 0, {97: Counts(900, 0), 82: lower})}, MODEL)

    line = advice("c", [seen], [learned], in_force(), 100).line

    assert ("guarded 0.80 would answer 70 % (67 to 72 %)" in line) is advised


def test_too_few_checks_are_said_instead_of_a_share() -> None:
    found = advice("c", [window()], [evidence(harmless=10)], in_force(), 100)

    assert read(found, "bounded 2 %").missing_pairs == LEAST_PAIRS - 10
    assert found.line.endswith("50 more checked hits would tell how many are wrong")


def test_too_few_pairs_open_nothing_and_say_how_many_are_missing() -> None:
    found = advice("c", [window()], [evidence(numbers=(100, 0))], in_force(), 100)

    assert read(found, "bounded 2 %").hits.value < 0.4
    assert found.opens_after == 205
    assert "205 more agreeing pairs would let bounded 2 % accept more" in found.line
    assert "at most 70 % of its texts have an earlier one so near" in found.line


def test_where_nothing_can_be_opened_nothing_is_promised() -> None:
    found = advice("c", [window()], [evidence(numbers=(300, 300))], in_force(), 100)

    assert found.opens_after is None
    assert found.line.endswith("at most 70 % of its texts have an earlier one so near")


def test_few_look_ups_are_no_ground_for_advice() -> None:
    few = window(outcomes={"exact": 7}, similarities={}, pairs={})

    found = advice("c", [few], [evidence()], in_force(), 100)

    assert found.line == "c: too few look-ups to advise on: 7 of 200"


def test_nothing_at_all_is_no_error() -> None:
    found = advice("c", [], [], in_force(), None)

    assert (found.look_ups, found.pairs, found.in_force.wrong) == (0, 0, None)


def test_what_nobody_compared_is_taken_to_be_like_what_was_learned() -> None:
    """Under the plain threshold the guard sees only what is checked."""
    bare = window(
        outcomes={"exact": 300, "semantic": 700},
        similarities={("semantic", 96): 700},
        pairs={},
    )
    found = advice("c", [bare], [evidence(numbers=(300, 0))], in_force("threshold"), 100)

    # At 0.96 half of what was learned is of other numbers, half of opposites.
    assert read(found, "guarded 0.85").hits.value == pytest.approx(0.3)
    wrong = read(found, "threshold 0.95").wrong
    assert wrong is not None
    assert wrong.value == pytest.approx(0.5)
