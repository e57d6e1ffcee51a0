"""Apache Kafka as the event log; the only package that imports kafka-python."""
