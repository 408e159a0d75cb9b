"""LDAP directories, Active Directory among them."""
