"""What is known of models: cards, rules on them, and whether a model is still the one it was."""
