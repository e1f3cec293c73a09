"""Responses that are kept: what OpenAI calls `store`, `previous_response_id` and `background`."""
