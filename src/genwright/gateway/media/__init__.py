"""Beside chats: images, audio, videos, rerank, files and batches, in OpenAI's forms."""
