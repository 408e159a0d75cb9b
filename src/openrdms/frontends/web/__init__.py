"""Browsers and programs over HTTPS: the REST API, the pages for users and administrators."""
