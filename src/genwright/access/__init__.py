"""Who is who: workspaces, projects, members, roles, API keys, sessions."""
