"""Queries made from documents: what becomes a query, and what is left for it to find."""

from __future__ import annotations

import crossfade as cf
from crossfade.known_items import KnownItem, known_items

LONG = "Open the settings of your account and choose a new one there."


def test_a_title_is_a_query_for_its_text() -> None:
    """The document it must find is the text alone, and not even the title's repetition at its beginning."""
    document = cf.Document("a", f"Reset  a PASSWORD . {LONG}", title="Reset a password")
    assert known_items([document]) == [KnownItem("Reset a password", "a", f". {LONG}", "title")]


def test_a_first_sentence_is_a_query_for_the_rest() -> None:
    """Without a title, or with one that says nothing, the first sentence asks; scripts without spaces are split too."""
    plain = cf.Document("a", f"How do I reset it? {LONG}", title="FAQ")
    japanese = cf.Document("b", "パスワードを忘れた場合。" + "設定画面を開いて新しいものを選んでください。" * 2)
    first, second = known_items([plain, japanese])
    assert (first.query, first.rest, first.kind) == ("How do I reset it?", LONG, "first sentence")
    assert (second.query, second.kind) == ("パスワードを忘れた場合。", "first sentence")
    assert second.query not in second.rest


def test_keyphrases_are_the_last_resort() -> None:
    """One long sentence is asked for by its four rarest and most frequent words, in their order, as a whole."""
    common = [cf.Document(str(n), f"The settings and for the account with {n} number" * 3) for n in range(3)]
    document = cf.Document("a", "the zebra and the account of a yak with settings for quagga, okapi and zebra " * 3)
    item = next(item for item in known_items([*common, document]) if item.id == "a")
    assert (item.query, item.kind, item.rest) == ("zebra yak quagga okapi", "keyphrases", document.content)


def test_what_is_no_question_or_has_several_answers_is_left_out() -> None:
    """A short text gives no query, and two documents of one title none either."""
    twins = [cf.Document(str(n), f"{LONG} {n}", title="Reset A Password" if n else "Reset a password") for n in (0, 1)]
    assert known_items([*twins, cf.Document("short", "Too short.")]) == []
