"""Sources of articles: feeds and files of others become article events, politely and each once."""
