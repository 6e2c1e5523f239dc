"""Models of transformers with random weights, for the tests that compare with them. Needs torch."""

import torch
import transformers
from tiny_families import CASES


def make_reference(name, seed=0, model_class=None):
    """The model of a case; every weight is random and a float16 number, so that none is idle."""
    model_type, options = CASES[name]
    config = transformers.AutoConfig.for_model(model_type, **options)
    if model_class is None:
        model = transformers.AutoModel.from_config(config).eval()
    else:
        model = model_class(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            is_norm = "norm" in key.lower() and key.endswith("weight")
            parameter.copy_((1 + 0.2 * noise if is_norm else 0.25 * noise).half().float())
    return model


def reference_states(model, ids, mask):
    """Last hidden states of a batch, as numpy."""
    with torch.no_grad():
        output = model(
            input_ids=torch.tensor(ids, dtype=torch.long),
            attention_mask=torch.tensor(mask, dtype=torch.long),
        )
    return output.last_hidden_state.numpy()
