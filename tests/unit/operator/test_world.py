"""What the operator believes of the cluster, and when it lets itself be corrected."""

from __future__ import annotations

from typing import Any

from eventstream_operator.world import Copies, labels_of


def an_object(name: str, version: int, uid: str = "", **labels: str) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "uid": uid or f"uid-{name}",
            "resourceVersion": str(version),
            "labels": labels,
            "managedFields": ["long"],
        }
    }


def test_the_newest_is_kept_in_whatever_order_they_come() -> None:
    copies = Copies()
    assert copies.put(an_object("a", 9, seen="later"))
    assert not copies.put(an_object("a", 8, seen="earlier"))
    kept = copies.get("a")
    assert kept is not None
    assert labels_of(kept) == {"seen": "later"}
    assert "managedFields" not in kept["metadata"]


def test_a_deletion_is_of_one_object_not_of_a_name() -> None:
    copies = Copies()
    copies.put(an_object("a", 9, uid="second"))
    assert not copies.drop(an_object("a", 8, uid="first"))
    assert copies.get("a") is not None


def test_what_was_deleted_does_not_come_back_with_late_news() -> None:
    copies = Copies()
    copies.put(an_object("a", 5))
    copies.drop(an_object("a", 6))
    assert not copies.put(an_object("a", 5))
    assert copies.get("a") is None


def test_a_list_ends_what_it_does_not_hold_and_spares_what_came_after_it() -> None:
    copies = Copies()
    copies.put(an_object("missed", 5))
    copies.put(an_object("made-since", 12))
    copies.replace([an_object("listed", 7)], version=10)
    assert sorted(one["metadata"]["name"] for one in copies) == ["listed", "made-since"]
