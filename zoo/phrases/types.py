"""What kind of phrase a phrase is: rules, no parser."""

import re

_VERB_FIRST = frozenset(
    (
        "be is are was were been being have has had do does did can could may might must shall "
        "should will would get gets got make makes made take takes took give gives gave go goes "
        "went come comes came see sees saw say says said know knows knew think thinks let lets "
        "keep keeps put puts set sets try tries need needs want wants seem seems look looks "
        "play plays deal deals carry ensure provide provides support help helps bring brings "
        "find finds use uses"
    ).split()
)
_PREPOSITIONS = frozenset(
    (
        "about above across after against along among around as at before behind below beneath "
        "beside between beyond by despite during for from in inside into like near of off on "
        "onto out outside over past since through throughout to toward towards under until upon "
        "with within without"
    ).split()
)
_ADVERBS = frozenset(
    ("very quite rather too so more most less least almost always never often").split()
)
_ADJECTIVE = re.compile(r".{3,}(?:able|ible|al|ful|ic|ish|ive|less|ous|ary|ant|ent)$")
_DIGIT = re.compile(r"\d")

PHRASE_TYPES = tuple(
    f"{form}_{entity}"
    for form in ("noun", "verb", "preposition", "adverb", "adjective")
    for entity in ("number", "name", "other")
)
"""Every type there is."""


def phrase_type(phrase: str) -> str:
    """The form of a phrase and whether it is a name, one of :data:`PHRASE_TYPES`.

    The first word tells a verb (also ``to`` and another word) or a preposition, the last one an
    adverb in *-ly* or an adjective by its ending; all else is a noun. A phrase with a digit is a
    number; one whose first and last words begin with a capital is a name.

    Notes:
        In PEARL a parser tells five forms and a tagger 19 kinds of entities, 95 types in all.

    Example:
        >>> phrase_type("play an active role"), phrase_type("Toshiki Kadomatsu")
        ('verb_other', 'noun_name')
    """
    words = phrase.split()
    if not words:
        return "noun_other"
    lower = [word.lower() for word in words]
    form = "noun"
    is_infinitive = lower[0] == "to" and len(words) > 1
    if lower[0] in _VERB_FIRST or is_infinitive:
        form = "verb"
    elif lower[0] in _PREPOSITIONS and len(words) > 1:
        form = "preposition"
    elif lower[-1].endswith("ly") and len(lower[-1]) > 4:
        form = "adverb"
    elif _ADJECTIVE.match(lower[-1]) and (len(words) == 1 or lower[0] in _ADVERBS):
        form = "adjective"
    if _DIGIT.search(phrase):
        return f"{form}_number"
    is_name = words[0][:1].isupper() and words[-1][:1].isupper()
    return f"{form}_{'name' if is_name else 'other'}"
