"""What sentences claim: splitting, alignment with free text, labels, and training rows."""

from textzoo.propositions.splitting import split_propositions, split_sentences

__all__ = ["split_propositions", "split_sentences"]
