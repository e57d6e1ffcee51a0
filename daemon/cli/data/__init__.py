"""Commands about data: how it comes in, what it holds and is worth, what could not be used, and how it goes out."""
