"""Amazon Bedrock: Converse with SigV4."""
