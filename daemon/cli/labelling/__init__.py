"""Commands about labels: where they come from, what they mean, and who corrects them."""
