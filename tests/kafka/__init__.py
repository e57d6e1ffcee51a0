"""A real Apache Kafka broker for tests, and for a person who has Java and no Docker (`make kafka`)."""
