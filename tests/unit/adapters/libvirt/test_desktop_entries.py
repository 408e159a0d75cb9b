"""Desktop entries: what the scripts print of them, and what is shown of that."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrdms.adapters.libvirt import linux_scripts
from openrdms.adapters.libvirt.desktop_entries import (
    DesktopEntry,
    name_programs,
    parse_entries,
    read_places,
    split_exec,
)
from openrdms.model.host import InstalledApplication

LOCAL, SYSTEM = "usr/local/share/applications", "usr/share/applications"
FIREFOX = """# a comment
[Desktop Entry]
Version=1.0
Type=Application
Name=Firefox
Name[de]=Feuerfuchs
Exec = firefox %u
Icon=firefox
Terminal=false
Actions=new-window;

[Desktop Action new-window]
Name=Open a New Window
Exec=firefox --new-window %u
"""


class Guest:
    """The scripts, run here with directories of their own for those of a guest."""

    def __init__(self, root: Path) -> None:
        self._root = root
        for directory in (LOCAL, SYSTEM, "usr/bin"):
            (root / directory).mkdir(parents=True)

    def add(self, text: str, name: str = "app.desktop", directory: str = SYSTEM) -> None:
        path = self._root / directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def install(self, program: str) -> None:
        path = self._root / "usr/bin" / program
        path.touch()
        path.chmod(0o755)

    def entries(self) -> list[DesktopEntry]:
        return parse_entries(self._run(linux_scripts.LIST_APPLICATIONS))

    def applications(self) -> list[InstalledApplication]:
        entries = self.entries()
        programs = name_programs(entries)
        places = read_places(programs, self._run(linux_scripts.FIND_PROGRAMS, *programs))
        here = {program: path.removeprefix(str(self._root)) for program, path in places.items()}
        return [found for entry in entries if (found := entry.locate(here))]

    def _run(self, script: str, *arguments: str) -> str:
        here = re.sub(r"(?<!\w)/usr/", f"{self._root}/usr/", script)
        argv = ["/bin/sh", "-c", here, "openrdms", *arguments]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def guest(tmp_path: Path) -> Guest:
    return Guest(tmp_path)


def entry(**keys: str) -> str:
    whole = {"Type": "Application", "Name": "App", "Exec": "app"} | keys
    return "[Desktop Entry]\n" + "".join(f"{key}={value}\n" for key, value in whole.items())


def test_an_entry_becomes_an_application(guest: Guest) -> None:
    guest.add(FIREFOX)
    guest.install("firefox")
    assert guest.applications() == [
        InstalledApplication("Firefox", "/usr/bin/firefox", "", "firefox")
    ]


def test_a_guest_without_entries_has_none(guest: Guest) -> None:
    assert guest.applications() == []


def test_entries_of_subdirectories_and_without_a_last_line_end(guest: Guest) -> None:
    guest.add(entry(Name="In a directory").rstrip("\n"), "kde/app.desktop")
    assert [found.name for found in guest.entries()] == ["In a directory"]


def test_local_entries_come_before_those_of_the_system(guest: Guest) -> None:
    guest.add(entry(Name="the system's"), "kde/app.desktop")
    guest.add(entry(Name="ours"), "kde-app.desktop", LOCAL)
    guest.add(entry(Name="removed by us"), "gone.desktop")
    guest.add("[Desktop Entry]\nHidden=true\n", "gone.desktop", LOCAL)
    assert [found.name for found in guest.entries()] == ["ours"]


@pytest.mark.parametrize(
    "keys",
    [
        {"NoDisplay": "true"},
        {"Hidden": "true"},
        {"Type": "Link"},
        {"OnlyShowIn": "GNOME;"},
        {"Name": ""},
        {"Exec": ""},
        {"Exec": "%U"},
        {"Exec": 'app "not closed'},
        {"Exec": "app \\\\"},
        {"TryExec": "absent"},
        {"TryExec": "/usr/bin/absent"},
        {"Exec": "absent"},
        {"Exec": "./app"},
        {"Exec": "/usr/bin/../share"},
        {"Terminal": "true"},
    ],
    ids=lambda keys: ",".join(f"{key}={value}" for key, value in keys.items()),
)
def test_what_is_not_shown(guest: Guest, keys: dict[str, str]) -> None:
    guest.install("app")
    guest.add(entry(**keys))
    assert guest.applications() == []


def test_a_program_without_a_window_is_run_in_a_terminal(guest: Guest) -> None:
    for program in ("htop", "x-terminal-emulator"):
        guest.install(program)
    guest.add(entry(Name="htop", Exec="htop -d 5", Terminal="true"))
    guest.add(entry(Name="not there", Exec="absent", Terminal="true"), "absent.desktop")
    [found] = guest.applications()
    assert (found.path, found.arguments) == ("/usr/bin/x-terminal-emulator", "-e htop -d 5")


def test_escapes_and_names_beyond_ascii(guest: Guest) -> None:
    guest.install("app")
    guest.add(entry(Name=r"Übung\s你好\\", Exec=r'app "a \\$b\\"c" "" %f', Icon="/opt/ü.png"))
    [found] = guest.applications()
    assert (found.name, found.icon) == ("Übung 你好\\", "/opt/ü.png")
    assert found.arguments == """'a $b"c' ''"""


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("app %U --end", ["app", "--end"]),
        ("app --title=%c 100%%", ["app", "--title=My app", "100%"]),
        ("env A=1 app %i %k %d", ["env", "A=1", "app"]),
        ("sh -c 'app && true'", ["sh", "-c", "app && true"]),
        (r"app a\ b", ["app", "a b"]),
        ('"/opt/My App/app" x"y z"', ["/opt/My App/app", "xy z"]),
        ("app 'a", []),
        ("  ", []),
    ],
)
def test_exec_is_split_without_its_field_codes(command: str, arguments: list[str]) -> None:
    assert list(split_exec(command, "My app")) == arguments


def quote(argument: str) -> str:
    """As the specification has it: section "The Exec key"."""
    return '"' + re.sub(r'(["`$\\])', r"\\\1", argument).replace("%", "%%") + '"'


@given(st.lists(st.text()))
def test_every_argument_can_be_quoted(arguments: list[str]) -> None:
    assert list(split_exec(" ".join(map(quote, arguments)), "")) == arguments


_line = st.builds(
    "{}/applications/{}.desktop\0{}".format,
    st.sampled_from(["/usr/share", "/usr/local/share"]),
    st.sampled_from(["a", "b/c", "b-c"]),
    st.sampled_from(["[Desktop Entry]", "Type=Application", "Name=n", "Exec=app", "Hidden=true"])
    | st.text(),
)


@given(st.text() | st.lists(_line | st.text()).map("\n".join))
def test_any_output_is_read(text: str) -> None:
    entries = parse_entries(text)
    places = {program: f"/usr/bin/{program}" for program in name_programs(entries)}
    for found in entries:
        assert found.name
        application = found.locate(places)
        assert application is None or application.path.startswith("/usr/bin/")


@given(st.lists(st.text(min_size=1)), st.text())
def test_any_places_are_read(programs: list[str], text: str) -> None:
    assert all(path.startswith("/") for path in read_places(programs, text).values())


def test_programs_are_looked_up_not_run(guest: Guest, tmp_path: Path) -> None:
    guest.add(entry(Exec=f"/bin/sh$(touch\\s{tmp_path}/gotcha)`touch\\s{tmp_path}/gotcha`"))
    guest.add(entry(Exec='"-v" x', Name="option"), "option.desktop")
    assert guest.applications() == []
    assert not (tmp_path / "gotcha").exists()
