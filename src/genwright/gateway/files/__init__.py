"""Configuration as files: a folder of YAML in git, compared with a server and applied; imports from other gateways."""
