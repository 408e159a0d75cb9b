"""The RDP relay: brings clients to their desktops, wherever those run."""
