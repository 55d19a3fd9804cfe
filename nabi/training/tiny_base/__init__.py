"""The shipped base model: the Korean it learns from, its tokenizer, its training and its probes."""
