"""Who calls us: protocol servers."""
