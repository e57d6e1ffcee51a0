"""What people may do, what they did and said, and what they are asked."""
