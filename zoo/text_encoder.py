"""Text to vectors: the face of a model."""

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from textzoo import prompts as prompting
from textzoo.calls import Call
from textzoo.checkpoints.bundle import Bundle
from textzoo.checkpoints.directory import write_directory
from textzoo.compilation import CompiledModel, enable_compilation_cache
from textzoo.encode_to import VectorFile
from textzoo.encoding import EncodeReport
from textzoo.errors import ConfigError, TextInputError
from textzoo.fingerprint import model_fingerprint
from textzoo.fitting import check_fit, configured_tokenizer
from textzoo.inputs import as_list, as_source
from textzoo.model import TextModel
from textzoo.modules import Normalize, Tokenizer
from textzoo.postprocessing import fit_postprocessing
from textzoo.progress import progress
from textzoo.search import SearchResult, search
from textzoo.settings import EncoderSettings
from textzoo.similarity import (
    as_vectors,
    is_vectors,
    normalized,
    similarity_matrix,
    similarity_pairs,
)
from textzoo.span_encoding import SpanEncoding
from textzoo.spans import TokenVectors
from textzoo.text_files import read_lines

# Small batches stay in a processor's caches; an accelerator needs large ones to be busy.
_TOKENS_PER_BATCH = {"cpu": 512}
_TOKENS_PER_BATCH_ELSEWHERE = 16_384


class TextEncoder(SpanEncoding):
    """A model with its tokenizer, from text to vectors.

    A text is cut to ``max_length`` tokens; a call in which texts were cut ends with one
    :class:`textzoo.errors.TruncationWarning`, and ``last_report`` has the figures of every call.
    An empty text, or one of white space, is encoded as its special tokens alone; a model without
    special tokens gives it zeros. A text's vector does not depend on what it is encoded with.

    Args:
        model: its parameters are read at every call, so a model in training is never stale.
        tokenizer: ``None``: the one the model's config names, if it needs no file.
        prompts: texts to put before the input, by name, for models trained with them.
        default_prompt: name of the prompt ``encode`` uses when none is given.
        similarity: ``"cosine"``, ``"dot"``, ``"euclidean"`` or ``"manhattan"``.
        truncate_dim: keep only the first dimensions of every vector; made length one again when
            the model's last head is ``Normalize``.
        tokens_per_batch: rows times length of a batch, approximately; ``None``: chosen for the
            device.
        name: for messages and cards.

    Attributes:
        settings: prompts, similarity and output width, as they are saved.
        last_report: what the last call did; ``None`` before the first.

    Raises:
        ConfigError: there is no tokenizer, or it does not fit the model.
    """

    def __init__(
        self, model: TextModel, tokenizer: Tokenizer | None = None, *,
        prompts: Mapping[str, str] | None = None, default_prompt: str | None = None,
        similarity: str = "cosine", truncate_dim: int | None = None,
        tokens_per_batch: int | None = None, name: str = "",
    ) -> None:  # fmt: skip
        if tokens_per_batch is not None and tokens_per_batch < 1:
            raise ConfigError(f"tokens_per_batch={tokens_per_batch}; use 1 or more, or None")
        self.settings = EncoderSettings(
            prompts=dict(prompts or {}), default_prompt=default_prompt, similarity=similarity,
            truncate_dim=truncate_dim,
        )  # fmt: skip
        self.model = model
        self.tokenizer = configured_tokenizer(model) if tokenizer is None else tokenizer
        self.name = name
        self.last_report: EncodeReport | None = None
        check_fit(self.tokenizer, model)
        enable_compilation_cache()
        self.tokens_per_batch = tokens_per_batch or _TOKENS_PER_BATCH.get(
            jax.default_backend(), _TOKENS_PER_BATCH_ELSEWHERE
        )
        self._compiled = CompiledModel(model)

    @classmethod
    def from_bundle(cls, bundle: Bundle, *, tokens_per_batch: int | None = None) -> "TextEncoder":
        """Wraps what a reader of model directories returned."""
        settings = bundle.settings
        return cls(
            bundle.model, bundle.tokenizer, prompts=settings.prompts,
            default_prompt=settings.default_prompt, similarity=settings.similarity,
            truncate_dim=settings.truncate_dim, tokens_per_batch=tokens_per_batch,
            name=bundle.name,
        )  # fmt: skip

    @property
    def dimension(self) -> int:
        """Width E of the vectors (of the states, for a model without a pooling)."""
        return self._width(None) or self._compiled.dimension

    @property
    def full_dimension(self) -> int:
        """Width of the vectors before ``truncate_dim`` cuts them."""
        return self._compiled.dimension

    @property
    def max_length(self) -> int:
        """Longer texts are cut to this many tokens, special tokens and prompt included."""
        return self.tokenizer.max_length

    def encode(
        self,
        texts: str | Iterable[str],
        *,
        prompt: str | None = None,
        truncate_dim: int | None = None,
        show_progress: bool = False,
    ) -> Float[np.ndarray, "*N E"]:
        """Encodes texts.

        Args:
            texts: a list, tuple, 1-D array or iterator of strings, or one string. An iterator is
                read in windows and never held as a whole.
            prompt: name of the prompt to put before every text; ``""`` for none. A model with
                prompts and no default one needs a name (or ``encode_query``,
                ``encode_document``).
            truncate_dim: as in the constructor, for this call.
            show_progress: shows a progress bar on stderr.

        Returns:
            float32 vectors ``[N, E]`` in the order of the texts; ``[E]`` for one string.

        Raises:
            TextInputError: an item is not text; the message names it.
        """
        source = as_source(texts)
        width = self._width(truncate_dim)
        prefix = prompting.prompt_text(self.settings, prompt)
        total = len(source.texts) if isinstance(source.texts, list) else None
        with self._call(show_progress, total) as call:
            vectors = call.vectors(source.texts, prefix)
        if vectors is None:
            return np.zeros((0, width or self._compiled.dimension), np.float32)
        vectors = self._shorten(vectors, width)
        return vectors[0] if source.is_single else vectors

    def encode_query(self, texts: str | Iterable[str], **options: Any) -> np.ndarray:
        """:meth:`encode` with the prompt for queries, if the model has one."""
        return self.encode(texts, prompt=prompting.query_prompt(self.settings), **options)

    def encode_document(self, texts: str | Iterable[str], **options: Any) -> np.ndarray:
        """:meth:`encode` with the prompt for documents, if the model has one."""
        return self.encode(texts, prompt=prompting.document_prompt(self.settings), **options)

    def encode_tokens(
        self, texts: str | Iterable[str], *, prompt: str | None = None, show_progress: bool = False
    ) -> list[TokenVectors]:
        """Encodes texts to one vector per token: the encoder's states, before pooling and heads.

        Special tokens, the prompt, and tokens of nothing but white space are left out.

        Returns:
            Per text: ``vectors [T, D]``, character ``offsets [T, 2]``, and the ``tokens``.
        """
        items = as_list(texts)
        prefix = prompting.prompt_text(self.settings, prompt)
        with self._call(show_progress, len(items)) as call:
            return call.tokens(items, prefix)

    def similarity(self, a: Any, b: Any) -> Float[np.ndarray, "N M"]:
        """Compares every item of ``a`` with every item of ``b``; larger is nearer.

        Args:
            a: texts, encoded with the default prompt, or vectors; one of them counts as a list.
            b: the same.

        Returns:
            float32 ``[N, M]``: cosine or dot product, or minus the euclidean or manhattan
            distance, as ``settings.similarity`` says.
        """
        return similarity_matrix(
            self._as_vectors(a, "a"), self._as_vectors(b, "b"), self.settings.similarity
        )

    def similarity_pairwise(self, a: Any, b: Any) -> Float[np.ndarray, "N"]:
        """Compares item i of ``a`` with item i of ``b``; see :meth:`similarity`."""
        return similarity_pairs(
            self._as_vectors(a, "a"), self._as_vectors(b, "b"), self.settings.similarity
        )

    def search(self, queries: Any, corpus: Any, k: int = 10) -> SearchResult:
        """Finds the nearest rows of a corpus, exactly.

        Args:
            queries: texts, encoded as queries, or vectors; one of them counts as a list.
            corpus: vectors ``[N, E]``, also memory-mapped ones that do not fit in memory; or
                texts, which are encoded as documents.
            k: results per query; fewer when the corpus is smaller.

        Returns:
            ``indices [Q, k]`` and ``scores [Q, k]``, the nearest first; equal scores stand in the
            order of the corpus. A vector with NaN is near nothing: its scores are minus infinity.
        """
        if is_vectors(corpus):
            rows = corpus if isinstance(corpus, np.ndarray) else np.asarray(corpus)
        else:
            rows = self.encode_document(as_list(corpus))
        wanted = (
            as_vectors(queries, "queries")
            if is_vectors(queries)
            else self.encode_query(as_list(queries))
        )
        return search(wanted, rows, k=k, kind=self.settings.similarity)

    def fit_postprocessing(
        self, source: Any, kind: str = "Whitening", **options: Any
    ) -> "TextEncoder":
        """An encoder with one more head, fitted on texts or vectors: whitening and the like.

        Args:
            source: texts or vectors, some thousands, of the kind that will be encoded.
            kind: ``"Whitening"``, ``"Centering"``, ``"Standardization"``,
                ``"PrincipalComponents"`` or ``"ComponentRemoval"``.
            **options: of the head, such as ``rank=128``; and those of
                :func:`textzoo.postprocessing.fit_postprocessing`.

        Returns:
            A new encoder that shares the parameters of this one; ``save`` keeps the statistics.
        """
        return fit_postprocessing(self, source, kind, **options)

    def encode_to(
        self,
        texts: Iterable[str] | str | os.PathLike[str],
        directory: str | os.PathLike[str],
        *,
        prompt: str | None = None,
        truncate_dim: int | None = None,
        shard_size: int = 16_384,
        dtype: str = "float32",
        resume: bool = True,
        show_progress: bool = False,
    ) -> np.ndarray:
        """Encodes a corpus of any size to ``directory/vectors.npy``; may be killed and restarted.

        Called again with the same texts, model and options it goes on after the last shard that
        reached the disk, and writes the bytes an uninterrupted run would have written. Memory
        does not grow with the corpus.

        Args:
            texts: texts, or the path of a UTF-8 file (plain or ``.gz``) with one text per line.
            directory: made when it does not exist.
            prompt: as for :meth:`encode`.
            truncate_dim: as for :meth:`encode`.
            shard_size: texts that are committed together, and at most lost.
            dtype: ``"float32"`` or ``"float16"``.
            resume: False starts over and replaces what is there.
            show_progress: shows a progress bar on stderr.

        Returns:
            The vectors ``[N, E]``, memory-mapped; later ``np.load(path, mmap_mode="r")``.

        Raises:
            ResumeError: the directory was begun with other texts, another model or other options.
        """
        is_path = isinstance(texts, str | os.PathLike)
        source = _lines_of(texts) if is_path else as_source(texts).texts  # type: ignore[arg-type]
        width = self._width(truncate_dim)
        prefix = prompting.prompt_text(self.settings, prompt)
        run = {
            **model_fingerprint(self.model, self.tokenizer), "prompt": prefix,
            "truncate_dim": width, "tokens_per_batch": self.tokens_per_batch,
        }  # fmt: skip
        file = VectorFile(
            Path(directory), dimension=width or self._compiled.dimension, dtype=dtype,
            shard_size=shard_size, run=run, resume=resume,
        )  # fmt: skip
        total = len(source) if isinstance(source, list) else None
        with contextlib.closing(file), self._call(show_progress, total, done=file.rows) as call:
            with contextlib.closing(call.shards(file.remaining(source), prefix)) as shards:
                for shard, vectors in shards:
                    file.append(shard, self._shorten(vectors, width))
            file.finish()
        return np.load(file.path, mmap_mode="r")

    def save(self, directory: str | os.PathLike[str]) -> None:
        """Writes config, weights, settings and tokenizer; :func:`textzoo.load` reads them."""
        if getattr(self.model, "config", None) is None:
            raise ConfigError(
                "this model has no config, so it cannot be saved; make it with "
                "textzoo.build(ModelConfig(...), rngs=...) instead of from modules"
            )
        bundle = Bundle(
            model=self.model, tokenizer=self.tokenizer, settings=self.settings, name=self.name
        )
        write_directory(Path(directory), bundle)

    def push(self, repo_id: str, *, private: bool = False) -> str:
        """Uploads what :meth:`save` writes to the Hugging Face hub and returns its address.

        Raises:
            ImportError: huggingface_hub is not installed.
        """
        try:
            import huggingface_hub
        except ImportError as error:
            raise ImportError("push needs huggingface_hub: pip install 'textzoo[hub]'") from error
        with tempfile.TemporaryDirectory() as folder:
            self.save(folder)
            api = huggingface_hub.HfApi()
            api.create_repo(repo_id, private=private, exist_ok=True)
            info = api.upload_folder(repo_id=repo_id, folder_path=folder)
        return str(info.commit_url)

    def __repr__(self) -> str:
        parts = [
            repr(self.name) if self.name else "unnamed",
            f"dimension={self.dimension}",
            f"max_length={self.max_length}",
            f"similarity={self.settings.similarity!r}",
        ]
        if self.settings.prompts:
            parts.append(f"prompts={sorted(self.settings.prompts)}")
        return f"TextEncoder({', '.join(parts)})"

    @contextlib.contextmanager
    def _call(self, show: bool, total: int | None, done: int = 0) -> Iterator[Call]:
        with progress(show, total=total, done=done) as advance:
            call = Call(
                self._compiled, self.tokenizer, tokens_per_batch=self.tokens_per_batch,
                advance=advance,
            )  # fmt: skip
            yield call
        self.last_report = call.counter.report()
        call.counter.warn_if_truncated()

    def _as_vectors(self, value: Any, name: str) -> Float[np.ndarray, "N E"]:
        return as_vectors(value, name) if is_vectors(value) else self.encode(as_list(value))

    def _width(self, truncate_dim: int | None) -> int | None:
        width = self.settings.truncate_dim if truncate_dim is None else truncate_dim
        if width is not None and not 1 <= width <= self._compiled.dimension:
            raise ConfigError(
                f"truncate_dim={width}, but the model's vectors have {self._compiled.dimension} "
                "dimensions; use 1 to that many"
            )
        return width

    def _shorten(self, vectors: Float[np.ndarray, "*N E"], width: int | None) -> np.ndarray:
        if width is None or width == vectors.shape[-1]:
            return vectors
        vectors = vectors[..., :width]
        heads = self.model.heads
        is_unit = len(heads) > 0 and isinstance(heads[len(heads) - 1], Normalize)
        return normalized(vectors) if is_unit else np.ascontiguousarray(vectors)


def _lines_of(path: str | os.PathLike[str]) -> Iterator[str]:
    if not Path(path).is_file():
        raise TextInputError(
            f"{path} is not a file; encode_to takes the path of a text file (or .gz) with one text "
            "per line, or a list or iterator of texts"
        )
    return read_lines(Path(path))
