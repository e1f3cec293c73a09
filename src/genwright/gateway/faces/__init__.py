"""What clients speak: request → Call, Answer → body, Chunk → event, error → body. Pure functions."""
