"""Where in a sentence a free text says what it says."""

import re

import numpy as np
from jaxtyping import Float

from textzoo.errors import ConfigError
from textzoo.inputs import checked

Range = tuple[int, int]

_TOKEN = re.compile(r"\w+(?:['’]\w+)?|[^\w\s]")
_QUADRANT = 0.01
_REACH = 3

_IRREGULAR = {
    "was": "be", "were": "be", "is": "be", "are": "be", "am": "be", "been": "be", "being": "be",
    "has": "have", "had": "have", "did": "do", "does": "do", "done": "do", "went": "go",
    "gone": "go", "made": "make", "said": "say", "won": "win", "born": "bear", "wrote": "write",
    "written": "write", "became": "become", "began": "begin", "begun": "begin", "took": "take",
    "taken": "take", "gave": "give", "given": "give", "men": "man", "women": "woman",
    "children": "child", "people": "person", "led": "lead", "held": "hold", "left": "leave",
}  # fmt: skip


def align(sentence: str, proposition: str, *, least: float = 0.5) -> list[Range]:
    """The stretches of a sentence that a proposition, in words of its own, is about.

    Words are matched by their stems, each at most once, so that the sum of

        ``S_ij = [stem_i = stem_j] + 0.01 * (matches among the 3 x 3 words at each of its corners)``

    over pairs is largest; the second term prefers, of several equal words, the one whose
    neighbors match too (Chen et al. 2023, Sub-Sentence Encoder, in its code).

    Args:
        sentence: where to look.
        proposition: what to look for.
        least: share of the proposition's characters (white space aside) that must be matched.

    Returns:
        ``(start, end)`` of each stretch, in order; none where too little is matched.

    Raises:
        ConfigError: ``least`` is no share.
        TextInputError: something is not a string.

    Notes:
        - The reference has Treebank tokens, WordNet lemmas and Porter stems; here words are runs of
          letters and digits, and stems come from a handful of endings and a small table.
        - There a proposition of one word is never matched; here it is like any other.

    Example:
        >>> sentence = "Dracula, a novel by Bram Stoker, was published in 1897."
        >>> [sentence[a:b] for a, b in align(sentence, "Dracula was published in 1897.")]
        ['Dracula', 'was published in 1897']
    """
    checked([sentence, proposition])
    if not 0 <= least < 1:
        raise ConfigError(f"least={least}; use a share from 0 to below 1, such as 0.5")
    import scipy.optimize  # on first use: it takes a quarter of a second

    there, wanted = _tokens(sentence), _tokens(proposition)
    if not there or not wanted:
        return []
    equal = np.array(
        [[stem(sentence[a:b]) == stem(proposition[c:d]) for c, d in wanted] for a, b in there],
        np.float64,
    )
    rows, columns = scipy.optimize.linear_sum_assignment(_with_neighbors(equal), maximize=True)
    pairs = [(i, j) for i, j in zip(rows, columns, strict=True) if equal[i, j]]
    matched = sum(wanted[j][1] - wanted[j][0] for _, j in pairs)
    total = sum(end - start for start, end in wanted)
    if not pairs or matched <= least * total:
        return []
    return _stretches([i for i, _ in pairs], there)


def stem(word: str) -> str:
    """A word without its ending: lower case, a few English endings, a small table."""
    word = word.lower().replace("’", "'")
    word = word.removesuffix("'s").removesuffix("'")
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    for ending in ("ing", "ed", "ly"):
        if len(word) > len(ending) + 2 and word.endswith(ending):
            word = word[: -len(ending)]
            if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "sl":
                word = word[:-1]
            return word.removesuffix("e")
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-2] if word.endswith(("xes", "ches", "shes", "sses")) else word[:-1]
    return word.removesuffix("e") if len(word) > 3 else word


def _tokens(text: str) -> list[Range]:
    """Words and signs; the period at the end is none."""
    found = [match.span() for match in _TOKEN.finditer(text)]
    return found[:-1] if found and text[slice(*found[-1])] == "." else found


def _with_neighbors(equal: Float[np.ndarray, "I J"]) -> Float[np.ndarray, "I J"]:
    """Adds 0.01 for every match up to three words away in both texts."""
    padded = np.pad(equal, _REACH)
    total = np.zeros_like(equal)
    for down in range(2 * _REACH + 1):
        for right in range(2 * _REACH + 1):
            if down != _REACH and right != _REACH:
                total += padded[down : down + equal.shape[0], right : right + equal.shape[1]]
    return equal + _QUADRANT * total


def _stretches(chosen: list[int], tokens: list[Range]) -> list[Range]:
    """Chosen tokens, neighbors joined."""
    found: list[tuple[int, int]] = []
    previous = None
    for index in sorted(chosen):
        start, end = tokens[index]
        if previous == index - 1:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
        previous = index
    return found
