"""What models are reached through: a row where only the address differs, a folder where the dialect does."""
