"""How fast the service answers, and in how much memory."""
