"""The training child: its order, its steps, its progress and its bounds."""
