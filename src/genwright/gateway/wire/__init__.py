"""Pure conversions between a dialect's messages, tools and usage and ours, used by faces and providers alike."""
