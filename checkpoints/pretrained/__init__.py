"""The models that come with textzoo, one folder each."""
