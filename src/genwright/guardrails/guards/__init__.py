"""The guards that come with the house, one file each. A new one is a file here and a row in `guardrails.policy.GUARDS`."""
