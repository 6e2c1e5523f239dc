"""An encoder whose states are told the language and the script afterwards."""

from collections.abc import Sequence
from typing import Any

from flax import nnx

from textzoo.modules.embeddings.side import SideEmbedding
from textzoo.modules.parameters import DtypeName
from textzoo.modules.types import Hidden


class SideVectorsEncoder(nnx.Module):
    """``h_t + E_lang[l_t] + E_script[s_t]`` after any encoder (LangSAMP: Liu et al. 2025).

    "LangSAMP: Language-Script Aware Multilingual Pretraining", ACL. The head that guesses tokens
    is told the language and the script of a text, so states need not tell them, and texts of all
    languages are encoded alike. At use there are no side ids, and this is the encoder inside,
    which training exports (``LanguageObjective``).

    Args:
        encoder: a part that relates tokens, such as ``Part("TransformerEncoder", ...)``.
        sizes: rows of each table, such as the numbers of languages and of scripts.
        width: D, of the states.
        dtype, param_dtype: computation and storage types of the tables.
        rngs: source of their initial values.

    Notes:
        Texts have a language, which is known of the data, or -1 where it is not; scripts follow
        from characters (``textzoo.modules.tokenizers.scripts``). An option of the released code
        adds the vectors to the input, and looks scripts up by the number of the language; here that
        is a :class:`SideEmbedding` in a sum, with its own ids.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from textzoo.modules import IdentityEncoder
        >>> encoder = SideVectorsEncoder(IdentityEncoder(), sizes=(5, 2), width=8, rngs=nnx.Rngs(0))
        >>> states, mask = jnp.zeros((1, 3, 8)), jnp.ones((1, 3), bool)
        >>> bool((encoder(Hidden(states=states, mask=mask)).states == 0).all())
        True
    """

    def __init__(
        self, encoder: Any, *, sizes: Sequence[int], width: int,
        dtype: DtypeName = None, param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        self.encoder = encoder
        self.side = SideEmbedding(sizes, width, dtype=dtype, param_dtype=param_dtype, rngs=rngs)

    @property
    def max_length(self) -> int | None:
        """Longest text, in tokens, that the encoder inside takes; ``None`` for any."""
        return getattr(self.encoder, "max_length", None)

    def __call__(
        self,
        hidden: Hidden,
        *,
        return_layers: bool = False,
        return_attention_diagonal: bool = False,
        rngs: nnx.Rngs | None = None,
    ) -> Hidden:
        """Relates tokens, and adds the vectors of their side ids.

        Args:
            hidden: what the embedding returned.
            return_layers: also return the layers of the encoder inside, as it does.
            return_attention_diagonal: the same of each token's attention to itself.
            rngs: for dropout.
        """
        found: Hidden = self.encoder(
            hidden, return_layers=return_layers,
            return_attention_diagonal=return_attention_diagonal, rngs=rngs,
        )  # fmt: skip
        if found.side_ids is None:
            return found
        vectors = self.side.vectors(found.side_ids)
        return found.replace(states=found.states + vectors.astype(found.states.dtype))
