"""Training data: files of rows, tokenized on the host into batches of static shape."""
