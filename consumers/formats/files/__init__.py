"""What a file is: opened, decoded, and taken apart into rows, one file per format."""
