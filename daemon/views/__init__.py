"""What commands, HTTP and pages show."""
