"""What people are asked to label: rows of the buffer by lane, what they said of them, and how far they agree."""
