"""From events to training sets: event log, validation, buffer, enrichment."""
