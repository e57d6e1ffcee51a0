"""What tuning minimises, by what a head gives."""
