"""The encoder that lets states pass: for static models and for poolings of raw embeddings."""

from flax import nnx

from textzoo.modules.types import Hidden


class IdentityEncoder(nnx.Module):
    """Returns its input; when layers are asked for, they are the input alone."""

    def __call__(
        self,
        hidden: Hidden,
        *,
        return_layers: bool = False,
        return_attention_diagonal: bool = False,
        rngs: nnx.Rngs | None = None,
    ) -> Hidden:
        """Returns ``hidden``."""
        if return_attention_diagonal:
            raise ValueError("IdentityEncoder has no attention; use a TransformerEncoder")
        return hidden.replace(layers=(hidden.states,)) if return_layers else hidden
