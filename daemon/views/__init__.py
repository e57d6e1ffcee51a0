"""Read models: what the command line, HTTP and pages show. Each is frozen and typed, and none is shown in any other way."""
