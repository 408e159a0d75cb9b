"""Installed applications from the shortcuts of the Start menu of all users. No I/O.

UNTESTED ON A LIVE WINDOWS, as ``guest_windows``. Applications of the Store have no shortcuts.
"""

from __future__ import annotations

import json
import ntpath

from openrdms.model.host import InstalledApplication

LIST = r"""
$ErrorActionPreference = 'Stop'
[Console]::OutputEncoding = New-Object Text.UTF8Encoding $false
$shell = New-Object -ComObject WScript.Shell
$menu = Join-Path $env:ProgramData 'Microsoft\Windows\Start Menu\Programs'
Get-ChildItem -LiteralPath $menu -Recurse -File -Filter *.lnk | ForEach-Object {
    $link = $shell.CreateShortcut($_.FullName)
    $path = [Environment]::ExpandEnvironmentVariables($link.TargetPath)
    if ($path -like '*.exe' -and (Test-Path -LiteralPath $path -PathType Leaf)) {
        @{name = $_.BaseName; path = $path; arguments = $link.Arguments
          icon = [Environment]::ExpandEnvironmentVariables($link.IconLocation)} |
            ConvertTo-Json -Compress
    }
}
"""
"""One line of JSON for each shortcut to a program that is there; hidden files are left out."""


def parse_shortcuts(text: str) -> list[InstalledApplication]:
    """Applications from the output of ``LIST``; ValueError, LookupError for anything else."""
    found = [json.loads(line) for line in text.splitlines() if line.strip()]
    return [
        InstalledApplication(
            name=str(one["name"]),
            path=ntpath.normpath(str(one["path"])),
            arguments=str(one["arguments"] or ""),
            icon=_read_icon(str(one["icon"] or ""), str(one["path"])),
        )
        for one in found
    ]


def _read_icon(location: str, path: str) -> str:
    """The file of ``FILE,INDEX``; a shortcut that names none has its program's."""
    return location.rpartition(",")[0] or path
