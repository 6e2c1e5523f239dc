"""What the recipes in scripts/ train with."""
