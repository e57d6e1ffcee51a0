"""Transformers, tuned with Hugging Face's Trainer."""
