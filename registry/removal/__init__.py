"""What leaves the registry: by age, by hand, or because somebody is to be forgotten."""
