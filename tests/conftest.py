"""What every test runs under: array annotations are checked, and random examples repeat."""

import sys

import hypothesis
import jaxtyping

if any(name == "textzoo" or name.startswith("textzoo.") for name in sys.modules):
    raise RuntimeError("textzoo was imported before its array annotations could be checked")
jaxtyping.install_import_hook("textzoo", "array_checks.check_arrays")

hypothesis.settings.register_profile(
    "textzoo", deadline=None, derandomize=True, max_examples=50, print_blob=False
)
hypothesis.settings.load_profile("textzoo")
