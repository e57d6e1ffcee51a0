"""After a verdict without enough evidence: both models answer a pool, people label where they differ, both are judged again."""
