"""Learning entities with a token classifier on any base model whose tokenizer tells where its tokens stand."""
