"""Shortcuts of the Start menu. The samples follow the script's form; no Windows printed them."""

from __future__ import annotations

import pytest

from openrdms.adapters.libvirt.windows_shortcuts import parse_shortcuts
from openrdms.model.host import InstalledApplication

WORDPAD = (
    r'{"icon":",0","name":"WordPad","arguments":"",'
    r'"path":"C:\\Program Files\\Windows NT\\Accessories\\wordpad.exe"}'
)
EDITOR = (
    r'{"icon":"C:\\Icons\\a,b.ico,3","name":"Übersicht \u0026 mehr","arguments":"/a \"b c\"",'
    r'"path":"C:\\Tools\\editor.exe"}'
)


def test_shortcuts_become_applications() -> None:
    wordpad, editor = parse_shortcuts(f"{WORDPAD}\r\n{EDITOR}\r\n")
    path = r"C:\Program Files\Windows NT\Accessories\wordpad.exe"
    assert wordpad == InstalledApplication("WordPad", path, "", path)
    assert editor == InstalledApplication(
        "Übersicht & mehr", r"C:\Tools\editor.exe", '/a "b c"', r"C:\Icons\a,b.ico"
    )


def test_an_empty_menu() -> None:
    assert parse_shortcuts("\r\n") == []


@pytest.mark.parametrize("text", ["no json", "{}", "[1]", "1", '{"name": "x"}'])
def test_what_is_no_answer_of_the_script_is_refused(text: str) -> None:
    with pytest.raises((ValueError, LookupError, TypeError)):
        parse_shortcuts(text)
