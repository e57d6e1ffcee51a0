"""Which texts the `quality` section of a task file keeps from training, from what is known of them without reading them."""
