"""Published models written as plain libraries open them."""
