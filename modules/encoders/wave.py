"""The wave network: tokens related by adding or multiplying waves, in linear time."""

import functools
from collections.abc import Callable
from typing import Any

import jax
from flax import nnx
from jaxtyping import Array

from textzoo.modules.dropout import Dropout
from textzoo.modules.parameters import DtypeName, layer_norm
from textzoo.modules.partitioning import keep_rows_apart
from textzoo.modules.positions import AbsolutePositions
from textzoo.modules.types import Hidden
from textzoo.modules.wave import LENGTH_NORMALIZATIONS, LEVELS, OPERATIONS, run_starts
from textzoo.modules.wave_layer import NORMS, READOUTS, WaveLayer

_REMAT_POLICIES = {
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
    "full": jax.checkpoint_policies.nothing_saveable,
}


class WaveEncoder(nnx.Module):
    """One wave layer, or a residual stack of them: ``O(L D)`` token mixing without attention.

    ``x = embedding (+ positions)``, input norm, dropout, N layers, final norm. Each layer turns
    two linear variants of its input into waves (:mod:`textzoo.modules.wave`), adds or multiplies
    them, reads a real vector off the result, and applies a feed-forward block and a norm.

    What the readings of g, which the paper does not give, amount to:

    ==============  ==================================  =======================================
    readout         interference                        modulation
    ==============  ==================================  =======================================
    ``real``        ``u + u'``: no token sees another   ``u u' - s s'``
    ``imaginary``   ``s + s'``: all tokens but itself   ``u' s + u s'``
    ``modulus``     ``|Z + Z'|``                        ``G G'``: the same for every token
    ``linear``      ``[Re; Im] W`` of either
    ==============  ==================================  =======================================

    (s, s': imaginary parts.) So interference read by its real part, and modulation by its
    modulus, are bags of words.

    Reference: Zhang and Sheng 2024, "Wave Network: An Ultra-Small Language Model", arXiv
    2411.02674 (no code of the authors).

    Args:
        width: D.
        num_layers: N; the single layer of the paper by default.
        operation: ``"modulation"`` multiplies waves, ``"interference"`` adds them.
        readout: ``"real"``, ``"linear"``, ``"modulus"`` or ``"imaginary"``, see above.
        first_level, second_level: what the magnitude of either variant sums, ``"text"``,
            ``"sentence"`` or ``"token"``; see :func:`textzoo.modules.wave.to_wave`. A sentence is
            a run of tokens with the same ``type_ids``, as numbered by BERT (A and B) or in turns
            by BERTSUM; without ``type_ids``, a text is one sentence. Figure 6a of the paper may
            mean ``("sentence", "text")``; its text restricts itself to the whole text.
        use_projections: whether there are W_1 and W_2; without, both variants are the input.
        hidden_dim: F, of the feed-forward block; ``None`` for no block.
        activation: of the feed-forward block.
        norm: layer norm of each layer: ``"post"`` behind the feed-forward block (figure 6a),
            ``"pre"`` in front of the waves, or ``"none"``.
        norm_eps: of all norms. Products of small vectors are small; keep it smaller still.
        use_residual: add each layer's output to its input (equation 8); for stacks.
        use_input_norm, use_final_norm: norms before and after the layers.
        positions: ``"none"``, ``"sinusoidal"`` or ``"learned"``; added before the split. Without
            any, the order of the tokens makes no difference.
        max_length: longest text, in tokens; only learned positions need one.
        length_normalization: ``"none"``, ``"magnitude"`` or ``"mean"``; see
            :func:`textzoo.modules.wave.to_wave`.
        is_causal: a token sees only those before it, by running sums.
        dropout: rate on the input and on each layer's output.
        dtype, param_dtype: computation and storage types; waves are float32 in any case.
        rngs: source of initial values.

    Notes:
        Packed rows: tokens with the same ``segment_ids`` stand side by side, and magnitudes stay
        within them.

        Masked language modeling: a magnitude sums the *input*, so it holds ``[MASK]`` where a
        token is masked, and nothing of the token. In a causal model, or where every token is to
        be told from all others without masks, G would give it away; the causal form sums what
        comes before, and the imaginary part leaves out the token itself, so that one layer of
        interference read by its ``"imaginary"`` part, without residual, knows nothing of the
        token at its own place.

        Initial values: W_1, W_2 and the readout's map keep the size of a vector (normal with
        variance 1/D); the paper gives none.
    """

    def __init__(
        self, width: int, *, num_layers: int = 1, operation: str = "modulation",
        readout: str = "real", first_level: str = "text", second_level: str = "text",
        use_projections: bool = True, hidden_dim: int | None = None, activation: str = "gelu",
        norm: str = "post", norm_eps: float = 1e-12, use_residual: bool = False,
        use_input_norm: bool = False, use_final_norm: bool = False, positions: str = "none",
        max_length: int | None = None, length_normalization: str = "none",
        is_causal: bool = False, dropout: float = 0.0,
        dtype: DtypeName = None, param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        for name, value, known in (
            ("operation", operation, tuple(OPERATIONS)),
            ("readout", readout, READOUTS),
            ("first_level", first_level, LEVELS),
            ("second_level", second_level, LEVELS),
            ("norm", norm, NORMS),
            ("length_normalization", length_normalization, LENGTH_NORMALIZATIONS),
        ):
            if value not in known:
                raise ValueError(f"{name}={value!r} is unknown; use one of {', '.join(known)}")
        if width < 1 or num_layers < 1:
            raise ValueError(f"width={width}, num_layers={num_layers}; use 1 or more of both")
        self.width = width
        make_norm = functools.partial(
            layer_norm, width, epsilon=norm_eps, use_bias=True, dtype=dtype,
            param_dtype=param_dtype, rngs=rngs,
        )  # fmt: skip
        self.positions = AbsolutePositions(
            width, kind=positions, max_length=max_length, param_dtype=param_dtype, rngs=rngs
        )
        self.input_norm = make_norm() if use_input_norm else None
        self.layers = nnx.List([
            WaveLayer(
                width, operation=operation, readout=readout, first_level=first_level,
                second_level=second_level, use_projections=use_projections,
                hidden_dim=hidden_dim, activation=activation, norm=norm, norm_eps=norm_eps,
                use_residual=use_residual, length_normalization=length_normalization,
                is_causal=is_causal, dropout=dropout, dtype=dtype, param_dtype=param_dtype,
                rngs=rngs,
            )
            for _ in range(num_layers)
        ])  # fmt: skip
        self.final_norm = make_norm() if use_final_norm else None
        self.dropout = Dropout(dropout, deterministic=True)
        self.remat = "none"

    def __call__(
        self,
        hidden: Hidden,
        *,
        return_layers: bool = False,
        return_attention_diagonal: bool = False,
        rngs: nnx.Rngs | None = None,
    ) -> Hidden:
        """Relates the tokens of each text to one another.

        Args:
            hidden: what the embedding returned.
            return_layers: also return the input of the first layer and the output of every one.
            return_attention_diagonal: refused; there is no attention.
            rngs: for dropout.

        Raises:
            ValueError: the states have another width, or there are more than ``max_length``.
        """
        if return_attention_diagonal:
            raise ValueError("WaveEncoder has no attention; use a TransformerEncoder")
        if hidden.states.shape[-1] != self.width:
            raise ValueError(
                f"states are {hidden.states.shape[-1]} wide, the encoder {self.width}; give the "
                f"embedding width={self.width}"
            )
        x = self.positions(hidden)
        if self.input_norm is not None:
            x = self.input_norm(x)
        x = keep_rows_apart(self.dropout(x, rngs=rngs))
        starts = {
            "text_starts": run_starts(hidden.segment_ids),
            "sentence_starts": run_starts(hidden.segment_ids, hidden.type_ids),
        }
        layers = [x]
        for index, layer in enumerate(self.layers):
            run: Callable[..., Any] = functools.partial(_run_layer, layer, mask=hidden.mask)
            if self.remat != "none":
                run = jax.checkpoint(run, policy=_REMAT_POLICIES[self.remat])
            key = None if rngs is None else rngs.dropout()
            with jax.named_scope(f"layer_{index}"):
                x = keep_rows_apart(run(x, key, **starts))
            layers.append(x)
        if self.final_norm is not None:
            x = self.final_norm(x)
        return hidden.replace(states=x, layers=tuple(layers) if return_layers else None)

    def set_view(self, remat: str | None = None) -> None:
        """Called by ``nnx.view``: what a backward pass keeps of every layer.

        Args:
            remat: ``"none"`` keeps everything, ``"dots"`` the results of matrix products with
                parameters, ``"full"`` only the input of each layer; the rest is computed again.
        """
        if remat is None:
            return
        if remat != "none" and remat not in _REMAT_POLICIES:
            raise ValueError(f"remat={remat!r} is unknown; use one of none, dots, full")
        self.remat = remat


def _run_layer(layer: WaveLayer, x: Array, key: Array | None, **options: Any) -> Array:
    """A layer with a dropout key of its own, so that computing it again draws the same numbers."""
    return layer(x, rngs=None if key is None else nnx.Rngs(dropout=key), **options)
