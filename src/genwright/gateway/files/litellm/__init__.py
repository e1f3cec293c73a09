"""Reading the configuration of LiteLLM proxy: models, fallbacks, limits, budgets; what was understood and what was not."""
