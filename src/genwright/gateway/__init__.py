"""One door to all models: names to providers, conversions between dialects, rails, prices, spans and the ledger."""
