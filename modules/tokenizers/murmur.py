"""MurmurHash (Appleby, public domain) of strings and numbers, as spaCy and thinc use it."""

_MASK = (1 << 64) - 1
_MULTIPLIER = 0xC6A4A7935BD1E995


def hash_string(text: str, seed: int = 1) -> int:
    """MurmurHash64A of the UTF-8 bytes of a string; spaCy's id of it, with seed 1."""
    data = text.encode()
    size = len(data)
    h = seed ^ (size * _MULTIPLIER & _MASK)
    whole = size - size % 8
    for start in range(0, whole, 8):
        k = int.from_bytes(data[start : start + 8], "little") * _MULTIPLIER & _MASK
        k = (k ^ (k >> 47)) * _MULTIPLIER & _MASK
        h = (h ^ k) * _MULTIPLIER & _MASK
    if whole < size:
        h = (h ^ int.from_bytes(data[whole:], "little")) * _MULTIPLIER & _MASK
    h = (h ^ (h >> 47)) * _MULTIPLIER & _MASK
    return h ^ (h >> 47)


def hash_number(number: int, seed: int) -> tuple[int, int, int, int]:
    """MurmurHash3 (x64, 128 bits) of a 64-bit number, as four 32-bit ones; thinc's ``ops.hash``."""
    k = number * 0x87C37B91114253D5 & _MASK
    k = (k << 31 | k >> 33) & _MASK
    k = k * 0x4CF5AD432745937F & _MASK
    # Eight bytes are less than a block of sixteen; 8 is their number.
    first, second = k ^ seed ^ 8, seed ^ 8
    first = (first + second) & _MASK
    second = (second + first) & _MASK
    first, second = _mix(first), _mix(second)
    first = (first + second) & _MASK
    second = (second + first) & _MASK
    low = (1 << 32) - 1
    return first & low, first >> 32, second & low, second >> 32


def _mix(k: int) -> int:
    k = (k ^ (k >> 33)) * 0xFF51AFD7ED558CCD & _MASK
    k = (k ^ (k >> 33)) * 0xC4CEB9FE1A85EC53 & _MASK
    return k ^ (k >> 33)
