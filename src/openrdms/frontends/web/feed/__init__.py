"""The feed of Remote Desktop clients ([MS-TSWP]): what users may open, icons and RDP files."""
