"""What a person types, and what comes back."""
