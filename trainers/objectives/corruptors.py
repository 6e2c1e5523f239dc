"""What stands at the selected positions instead of the tokens that are to be predicted."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from textzoo.trainers.objectives.selectors import Selection


def corrupt(
    key: Array,
    ids: Int[Array, "B L"],
    selection: Selection,
    *,
    mask_id: int,
    random_ids: Int[np.ndarray, "V"],
    mask_share: float = 0.8,
    random_share: float = 0.1,
    once_per_unit: bool = False,
) -> Int[Array, "B L"]:
    """Replaces selected tokens; the others stay as they are.

    Each selected token, independently, becomes the mask with probability ``mask_share``, a random
    token with ``random_share``, and stays with what remains (Devlin et al. 2019, appendix A.1).

    Args:
        key: of the draws.
        ids: tokens.
        selection: what was selected.
        mask_id: id of the mask.
        random_ids: random tokens are drawn from these, uniformly.
        mask_share: 0.8 for BERT, 0.85 for ELECTRA's generator, 1 for masks only.
        random_share: 0.1 for BERT, 0 for ELECTRA.
        once_per_unit: one decision for all tokens of a word, span or n-gram (LTG-BERT) instead of
            one per token (BERT). Random tokens differ in any case.
    """
    choice_key, random_key = jax.random.split(key)
    choice = jax.random.uniform(choice_key, ids.shape)
    if once_per_unit:
        choice = jnp.take_along_axis(choice, selection.unit_starts, axis=1)
    drawn = jax.random.randint(random_key, ids.shape, 0, len(random_ids))
    other = jnp.take(jnp.asarray(random_ids, ids.dtype), drawn, axis=0)
    replaced = jnp.where(choice < mask_share + random_share, other, ids)
    replaced = jnp.where(choice < mask_share, jnp.asarray(mask_id, ids.dtype), replaced)
    return jnp.where(selection.selected, replaced, ids)


def ordinary_ids(vocab_size: int, special_ids: Sequence[int]) -> Int[np.ndarray, "V"]:
    """Ids of all tokens that are not special."""
    return np.setdiff1d(np.arange(vocab_size, dtype=np.int32), np.asarray(special_ids, np.int32))
