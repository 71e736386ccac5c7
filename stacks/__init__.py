"""What one stack is: its settings, its identity and the composition of components."""
