"""English as people write it: how the guard sees through it, and the nearest thing it must not.

Each table stands for one rule: what it lets through, and its nearest look-alikes.
"""

import pytest

from eventstream.cache.guard import compare
from eventstream.cache.guard.english import ENGLISH
from eventstream.cache.guard.typing_slips import slips_of

HARMLESS = {
    "synonym": [
        ("The waitress was impolite", "The waitress was rude"),
        ("Where do I collect the boarding pass?", "Where do I pick up the boarding card?"),
        ("When does the lecture commence?", "When does the lecture start?"),
        ("The beverage was dreadful", "The drink was awful"),
    ],
    "sense": [
        ("My landlord sold the flat", "My landlord sold the apartment"),
        ("I want to remove my profile picture", "I want to delete my profile photo"),
        ("The elevator stops on every floor", "The lift stops on every floor"),
    ],
    "shorthand": [
        ("I'd like rice w/ beans", "I'd like rice with beans"),
        ("I drink my tea w/o milk", "I drink my tea without milk"),
        ("I must be home b4 dark", "I must be home before dark"),
        ("The talk had 15k visitors", "The talk had 15,000 visitors"),
        ("Is the max weight 20 kg?", "Is the maximum weight 20 kg?"),
        ("The queue is long bc the till is broken", "The queue is long because the till is broken"),
    ],
    "filler": [
        ("Hmm, okay, so where is the exit?", "Where is the exit?"),
        ("To be frank, the tent leaks", "The tent leaks"),
        ("Ok so my oven is broken", "My oven is broken"),
        ("So when do we eat?", "When do we eat?"),
    ],
    "greeting": [
        ("Dear Ms Novak, the boiler is cold", "The boiler is cold"),
        ("Hi Peter, where is the key?", "Where is the key?"),
        ("Evening all, is the gym open?", "Is the gym open?"),
    ],
    "request": [
        ("Could you move my lesson to Friday?", "Move my lesson to Friday"),
        ("Would you mind translating this letter?", "Translate this letter"),
        ("Can you summarize the report?", "Summarize the report"),
        ("Could you tell me if dinner is included?", "Is dinner included?"),
        ("What steps do I need to take to join?", "How do I join?"),
    ],
    "emoji": [
        ("The pipe burst and nobody helps us 😡", "The pipe burst and nobody helps us"),
        ("✅ All tests passed", "All tests passed"),
        ("No reception in the tunnel 📶", "No reception in the tunnel"),
        ("Happy birthday to my aunt 🎂🎉", "Happy birthday to my aunt"),
        ("Can anyone fix this today? 🙏", "Can anyone fix this today?"),
    ],
    "slip": [
        ("How do I chnage my seat?", "How do I change my seat?"),
        ("The screeen is dark", "The screen is dark"),
        ("There is a problme with the door", "There is a problem with the door"),
        ("My reservaton is gone", "My reservation is gone"),
    ],
    "order": [
        ("When my lease ends, can I stay?", "Can I stay when my lease ends?"),
        ("Every Sunday the church bells ring", "The church bells ring every Sunday"),
        ("On the ferry it is cold at night", "It is cold on the ferry at night"),
        ("On Monday they came, but it was late", "They came on Monday, but it was late"),
        ("Usually the lift works", "The lift usually works"),
    ],
    "rewording": [
        ("Turn the heating off", "Turn off the heating"),
        ("My neighbour's dog barks", "The dog of my neighbour barks"),
        ("The lamp which I bought is dim", "The lamp that I bought is dim"),
        ("My radio keeps crackling", "My radio crackles all the time"),
        ("The cake was really dry", "The cake was very dry"),
        ("The printer won't print", "The printer does not print"),
        ("Translate it to Polish", "Translate it into Polish"),
    ],
    "denial": [
        ("The sleeves are not long enough", "The sleeves are too short"),
        ("I do not agree with the fee", "I disagree with the fee"),
        ("Delays are not uncommon", "Delays are common"),
        ("The porter was not friendly", "The porter was unfriendly"),
    ],
    "shape": [
        ("What are the museum's opening hours?", "When is the museum open?"),
        ("The cabin had no window", "There was no window in the cabin"),
        ("The manual is hard to read", "It is hard to read the manual"),
        ("It is impossible for me to park here", "I cannot park here"),
    ],
    "sign": [
        ("The train leaves @ 9", "The train leaves at 9"),
        ('It fails with "error 12"', "It fails with error 12"),
        ("Wait... is it open?", "Wait, is it open?"),
        ("Where is the A.T.M.?", "Where is the ATM?"),
    ],
}
LOOK_ALIKES = {
    "synonym": [
        ("Can I exchange the coat?", "Can I return the coat?"),
        ("I want to cancel my plan", "I want to change my plan"),
        ("The waitress was rude", "The waitress was slow"),
    ],
    "sense": [
        ("I have a flat tyre", "I have an apartment tyre"),
        ("Remove my photo from the wall", "Delete my photo from the wall"),
        ("Give me a lift to the station", "Give me an elevator to the station"),
    ],
    "shorthand": [
        ("How do I sort in R?", "How do I sort in?"),
        ("The part b4 is bad", "The part before is bad and b5"),
        ("I ran two 5k races", "I ran two 5000 races"),
        ("Max is late", "Maximum is late"),
        ("Tea w/o milk", "Tea with milk"),
    ],
    "filler": [
        ("So good that I left", "Good that I left"),
        ("But the tent leaks", "So the tent leaks if it rains"),
        ("Right now the shop is open", "The shop is open"),
    ],
    "greeting": [
        ("Morning flights are cheap", "Flights are cheap"),
        ("Dear Lord of the Rings fans, where is it?", "Dear fans, is it here?"),
    ],
    "request": [
        ("Can you repair shoes?", "Repair shoes"),
        ("Could you help me pay the bill?", "Pay the bill"),
        ("Who is hired?", "Who hired?"),
        ("Would you mind the gap?", "Mind the gap"),
    ],
    "emoji": [
        ("The party was great 🙄", "The party was great"),
        ("I am not disappointed 😡", "I am not disappointed"),
        ("Lovely, the trip is cancelled 🎉", "Lovely, the trip is cancelled"),
        ("I moved to Oslo 😢", "I moved to Oslo"),
        ("Great soup...", "Great soup"),
    ],
    "slip": [
        ("We saw a trail", "We saw a trial"),
        ("The contract came", "The contact came"),
        ("It is quite here", "It is quiet here"),
    ],
    "order": [
        ("On Monday I want to leave", "I want to leave on Monday"),
        ("The bike you sold me today broke", "Today the bike you sold me broke"),
        ("It does not usually work", "It usually does not work"),
    ],
    "rewording": [
        ("Turn the heating off", "Turn the heating on"),
        ("My neighbour's dog barks", "My dog's neighbour barks"),
        ("He won't pay", "He doesn't pay"),
        ("I really want it", "I want it very"),
        ("I speak to German tourists", "I speak into German tourists"),
    ],
    "denial": [
        ("The sleeves are not long enough", "The sleeves are not too short"),
        ("The porter was not unfriendly", "The porter was unfriendly"),
        ("Delays are not common", "Delays are common"),
    ],
    "shape": [
        ("The cabin had a window", "There was no window in the cabin"),
        ("When does the museum open?", "When does the museum close?"),
        ("It is possible to park here", "I cannot park here"),
    ],
    "sign": [
        ('The pipe is 12"', "The pipe is 12"),
        ("The train leaves @ 9", "The train leaves after 9"),
    ],
}


@pytest.mark.parametrize(("one", "other"), [pair for pairs in HARMLESS.values() for pair in pairs])
def test_what_says_the_same_is_accepted(one: str, other: str) -> None:
    assert compare(one, other).refused_kinds == ()
    assert compare(other, one).refused_kinds == ()


@pytest.mark.parametrize(
    ("one", "other"), [pair for pairs in LOOK_ALIKES.values() for pair in pairs]
)
def test_what_only_looks_alike_is_refused(one: str, other: str) -> None:
    assert not compare(one, other).accepted
    assert not compare(other, one).accepted


def test_each_rule_is_tested_both_ways() -> None:
    assert HARMLESS.keys() == LOOK_ALIKES.keys()


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("lokced", "locked"), ("cancell", "cancel"), ("brkae", "brake"), ("retuned", "retuned")],
)
def test_slips_are_told_where_one_word_is_meant(typed: str, meant: str) -> None:
    assert slips_of(ENGLISH).meant(typed) == meant
