"""CIM classes bound to services; the only place with Win32_ names."""
