"""Models that Hugging Face Transformers runs."""
