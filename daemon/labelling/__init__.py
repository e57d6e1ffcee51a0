"""What a person does at the desk, on the page or at a terminal: label, decide about feedback, skip."""
