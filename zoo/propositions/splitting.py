"""Sentences of a text, and what each of them claims: rules, no model."""

import re

from textzoo.inputs import checked

Range = tuple[int, int]

_SENTENCE_END = re.compile(r"""[.!?…]+["'”’)\]]*(?=\s|$)|[。！？]+|\n\s*\n""")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:[A-Za-z]|mr|mrs|ms|dr|prof|st|sr|jr|vs|etc|e\.g|i\.e|cf|no|fig|vol|pp|al|approx|"
    r"inc|ltd|co|corp|dept|gen|col|lt|capt|sgt|rev|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)\.$",
    re.IGNORECASE,
)
_WORD = re.compile(r"\w+(?:['’.\-]\w+)*")

_SUBORDINATE = (
    "although|because|while|when|whereas|since|unless|until|after|before|though|if|as|so that"
)
_RELATIVE = "which|who|whom|whose|where|that"
_COORDINATE = "and|but|or|nor|so|yet|then"
# Where a clause ends; what stands in the group belongs to neither side.
_BORDER = re.compile(
    rf"\s*;\s*|\s+[–—]+\s+|\s*--\s*|\s*[()\[\]]\s*|:\s+"
    rf"|\s*,\s+(?:{_COORDINATE})\s+|\s*,\s*(?=(?:{_RELATIVE}|{_SUBORDINATE})\b)|\s*,\s+"
    rf"|\s+(?:and|but)\s+(?=(?:then\s+|later\s+|also\s+)?(?:\w+ly\s+)?[a-z]\w*\b)"
    rf"|\s+(?=(?:{_SUBORDINATE})\s)",
    re.IGNORECASE,
)
_LEADING = re.compile(rf"^(?:(?:{_COORDINATE}|{_SUBORDINATE}|{_RELATIVE})\s+)+", re.IGNORECASE)
_IS_RELATIVE = re.compile(rf"^(?:{_RELATIVE})\s", re.IGNORECASE)
_VERBS = frozenset(
    "is are was were be been being am has have had does do did will would can could may might must "
    "shall should became become becomes began begins wrote written won wins lost made makes took "
    "takes gave gives went goes came comes saw sees said says told tells led leads left leaves "
    "held holds found finds built builds grew grows ran runs sold sells bought buys met meets "
    "taught teaches fought fell rose rises sang sings spoke speaks died dies lies lay stands stood "
    "slept sleeps kept keeps sent sends thought knew knows drew drove drank ate eats hit put set "
    "contains includes uses plays works lives serves remains means shows".split()
)
_ENDS_LIKE_VERB = re.compile(r"[a-z]{2,}(?:ed|ized|ised)$")
_LONGEST_SUBJECT = 12


def split_sentences(text: str) -> list[Range]:
    """The ``(start, end)`` of every sentence, without white space around it.

    A sentence ends with ``.``, ``!``, ``?`` or an ellipsis before white space, but not after
    a common abbreviation or an initial; with an empty line; and with ``。！？``.

    Raises:
        TextInputError: not a string.

    Example:
        >>> split_sentences("Dr. No came. He left!")
        [(0, 12), (13, 21)]
    """
    checked([text])
    found, start = [], 0
    for match in _SENTENCE_END.finditer(text):
        if match.group() == "." and _ABBREVIATION.search(text[start : match.end()]):
            continue
        if match.group().startswith(".") and text[match.end() :].lstrip()[:1].islower():
            continue
        found.append((start, match.end()))
        start = match.end()
    found.append((start, len(text)))
    trimmed = (_trimmed(text, begin, end) for begin, end in found)
    return [(begin, end) for begin, end in trimmed if begin < end]


def split_propositions(text: str) -> list[list[Range]]:
    """What the sentences of a text claim: for each claim its stretches of characters.

    Sentences are cut into clauses, at punctuation and conjunctions. A clause without a subject of
    its own (``and was written by ...``, ``which ...``) takes the words before the verb of the first
    clause, or the noun before it, as another stretch. What is cut off without a verb stays
    with the clause before it. This is no parser: it is for whoever has no propositions yet.

    Returns:
        In the order of the text; a sentence of one clause is one proposition.

    Example:
        >>> text = "Dracula was published in 1897 and was written by Bram Stoker."
        >>> for proposition in split_propositions(text):
        ...     print(" ".join(text[start:end] for start, end in proposition))
        Dracula was published in 1897
        Dracula was written by Bram Stoker
    """
    found = []
    for start, end in split_sentences(text):
        found.extend(_of_sentence(text, start, end))
    return found


def _of_sentence(text: str, start: int, end: int) -> list[list[Range]]:
    end = start + len(text[start:end].rstrip(".!?…;,。！？ "))
    clauses = _clauses(text, start, end)
    if not clauses:
        return []
    subject = _subject(text, *clauses[0])
    propositions = []
    for number, (first, last) in enumerate(clauses):
        own = _LEADING.match(text[first:last])
        begin = first + (own.end() if own else 0)
        if begin >= last:
            begin = first
        pieces = [(begin, last)]
        words = list(_WORD.finditer(text, begin, last))
        if number and words and _is_verb(words[0].group()):
            borrowed = subject
            if _IS_RELATIVE.match(text[first:last]):
                borrowed = _noun_before(text, *clauses[number - 1]) or subject
            if borrowed is not None and borrowed[1] <= begin:
                pieces.insert(0, borrowed)
        propositions.append(pieces)
    return propositions


def _clauses(text: str, start: int, end: int) -> list[Range]:
    """Stretches between borders; those without a verb are joined to the one before."""
    pieces, begin, is_apart = [], start, False
    for match in _BORDER.finditer(text, start, end):
        if match.start() > begin:
            pieces.append((begin, match.start(), is_apart))
            is_apart = ";" in match.group()
        begin = max(match.end(), begin)
    pieces.append((begin, end, is_apart))
    joined: list[Range] = []
    for first, last, is_apart in pieces:
        first, last = _trimmed(text, first, last)
        if first >= last:
            continue
        has_verbs = bool(joined) and _has_verb(text, *joined[-1]) and _has_verb(text, first, last)
        if joined and not (is_apart or has_verbs):
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return joined


def _subject(text: str, start: int, end: int) -> Range | None:
    """The words before the first verb of a clause."""
    lead = _LEADING.match(text[start:end])
    start += lead.end() if lead else 0
    for number, word in enumerate(_WORD.finditer(text, start, end)):
        if number > _LONGEST_SUBJECT:
            return None
        if _is_verb(word.group()):
            trimmed = _trimmed(text, start, word.start())
            return trimmed if trimmed[0] < trimmed[1] else None
    return None


def _noun_before(text: str, start: int, end: int) -> Range | None:
    """The last words of a clause behind its last article, preposition or verb."""
    words = list(_WORD.finditer(text, start, end))
    begin = len(words)
    while begin > 0 and len(words) - begin < 4:
        word = words[begin - 1].group()
        if word.lower() in _SMALL or _is_verb(word):
            break
        begin -= 1
    return (words[begin].start(), words[-1].end()) if begin < len(words) else None


_SMALL = frozenset(
    "a an the of in on at by for from to with and or but as into over under his her its their our "
    "my your this that these those".split()
)


def _has_verb(text: str, start: int, end: int) -> bool:
    return any(_is_verb(word.group()) for word in _WORD.finditer(text, start, end))


def _is_verb(word: str) -> bool:
    return word in _VERBS or bool(_ENDS_LIKE_VERB.fullmatch(word))


def _trimmed(text: str, start: int, end: int) -> Range:
    piece = text[start:end]
    lead = len(piece) - len(piece.lstrip(" \t\n\r,;:"))
    return start + lead, max(start + lead, end - (len(piece) - len(piece.rstrip(" \t\n\r,;:"))))
