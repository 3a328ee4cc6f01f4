"""Functions of the user's own, which entries name: found, told apart by their code, and called."""
