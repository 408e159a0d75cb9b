"""Every operation of DSP0200 through pywbem, as it should be asked and as it should not."""

from collections.abc import Callable
from contextlib import contextmanager
from urllib.parse import unquote

import pytest
import pywbem

from fakes.cimxml_client import (
    CALLER,
    connect,
    error_of,
    imethodcall,
    iparam,
    methodcall,
    post,
    serve,
)
from fakes.guards import OpenGuard
from fakes.widgets import NAMESPACE, SCHEMA, Widgets
from openrdms.cim.errors import CimError, CimStatus
from openrdms.cim.object_manager import Namespaces, ObjectManager
from openrdms.cim.provider import Caller
from openrdms.frontends.cimxml import pulling
from openrdms.frontends.cimxml.service import CimXmlServer
from openrdms.providers import schema

Connection = pywbem.WBEMConnection
CLASS = "Test_Widget"
ONE = pywbem.CIMInstanceName(CLASS, {"Name": "one", "Slot": pywbem.Uint32(1)})
ABSENT = pywbem.CIMInstanceName(CLASS, {"Name": "none", "Slot": pywbem.Uint32(1)})
KEYLESS = pywbem.CIMInstanceName(CLASS, {"Name": "one"})
UNKNOWN = pywbem.CIMInstanceName("Test_Other", {"Name": "one"})
OTHER_CALLER = Caller("other", "127.0.0.1", "administrator")


@pytest.fixture
def widgets() -> Widgets:
    widgets = Widgets()
    widgets.add("one", 1, Text="here", Tags=["a", None, ""], Octets=[0, 255], Weight=0.5)
    for number in range(2, 8):
        widgets.add(f"w{number}", number, Text="even" if number % 2 == 0 else "odd")
    return widgets


@pytest.fixture
def server(widgets: Widgets) -> CimXmlServer:
    return serve(widgets)


@pytest.fixture
def connection(server: CimXmlServer) -> Connection:
    return connect(server)


@pytest.fixture
def puller(server: CimXmlServer) -> Connection:
    return connect(server, use_pull_operations=True)


@contextmanager
def refused(status: CimStatus, words: str = ""):  # type: ignore[no-untyped-def]
    with pytest.raises(pywbem.CIMError) as caught:
        yield caught
    assert words in str(caught.value)
    assert caught.value.status_code == status


class TestInstances:
    def test_get(self, connection: Connection) -> None:
        found = connection.GetInstance(ONE)
        assert found.classname == CLASS
        assert list(found) == [item.name for item in SCHEMA.get_class(CLASS).properties]
        assert (found["Text"], found["Serial"], found["Made"]) == ("here", 2**64 - 1, None)
        assert (found["Tags"], found["Octets"]) == (["a", None, ""], [0, 255])

    def test_get_a_part(self, connection: Connection) -> None:
        found = connection.GetInstance(
            ONE, PropertyList=["TEXT", "Nothing", "text"], IncludeClassOrigin=True
        )
        assert list(found) == ["Text"]
        assert found.properties["Text"].class_origin == CLASS
        assert list(connection.GetInstance(ONE, PropertyList=[])) == []

    @pytest.mark.parametrize(
        ("path", "status"),
        [
            (ABSENT, CimStatus.NOT_FOUND),
            (KEYLESS, CimStatus.INVALID_PARAMETER),
            (UNKNOWN, CimStatus.INVALID_CLASS),
        ],
    )
    def test_paths_that_lead_nowhere(
        self, connection: Connection, path: pywbem.CIMInstanceName, status: CimStatus
    ) -> None:
        changed = pywbem.CIMInstance(path.classname, {"Text": "x"}, path=path)
        for call in (
            lambda: connection.GetInstance(path),
            lambda: connection.DeleteInstance(path),
            lambda: connection.ModifyInstance(changed),
            lambda: connection.InvokeMethod("Rename", path, Text="x"),
        ):
            with refused(status):
                call()

    def test_enumerate(self, connection: Connection) -> None:
        found = connection.EnumerateInstances(CLASS.lower(), PropertyList=["Slot"])
        assert [(item["Slot"], item.path["Slot"]) for item in found] == [
            (number, number) for number in range(1, 8)
        ]
        assert all(list(item) == ["Slot"] for item in found)
        names = connection.EnumerateInstanceNames(CLASS)
        assert names == [item.path for item in found]
        for call in (connection.EnumerateInstances, connection.EnumerateInstanceNames):
            with refused(CimStatus.INVALID_CLASS):
                call("Test_Other")
            with refused(CimStatus.NOT_SUPPORTED):
                call("Test_Silent")

    def test_create_and_delete(self, connection: Connection) -> None:
        instance = pywbem.CIMInstance(
            CLASS, {"Name": "new", "Slot": pywbem.Uint32(9), "Tags": ["x"], "Enabled": True}
        )
        path = connection.CreateInstance(instance)
        assert path.keybindings == pywbem.NocaseDict({"Name": "new", "Slot": 9})
        assert connection.GetInstance(path)["Tags"] == ["x"]
        with refused(CimStatus.ALREADY_EXISTS):
            connection.CreateInstance(instance)
        connection.DeleteInstance(path)
        with refused(CimStatus.NOT_FOUND):
            connection.GetInstance(path)

    def test_create_what_cannot_be(self, connection: Connection) -> None:
        for values, status in (
            ({"Name": "x", "Slot": pywbem.Uint32(1), "Serial": pywbem.Uint64(1)}, 4),
            ({"Name": "x", "Slot": "1"}, 13),
            ({"Name": "x", "Slot": pywbem.Uint32(1), "Other": "1"}, 12),
        ):
            with refused(CimStatus(status)):
                connection.CreateInstance(pywbem.CIMInstance(CLASS, values))
        with refused(CimStatus.INVALID_CLASS):
            connection.CreateInstance(pywbem.CIMInstance("Test_Other", {}))

    def test_modify_what_was_got(self, connection: Connection) -> None:
        instance = connection.GetInstance(ONE)
        instance.path = ONE
        instance["Text"] = "there"
        instance["Tags"] = ["b"]
        connection.ModifyInstance(instance)
        found = connection.GetInstance(ONE)
        assert (found["Text"], found["Tags"], found["Weight"]) == ("there", ["b"], 0.5)

    def test_modify_only_what_is_listed(self, connection: Connection) -> None:
        instance = pywbem.CIMInstance(CLASS, {"Text": "there", "Enabled": True}, path=ONE)
        connection.ModifyInstance(instance, PropertyList=[])
        assert connection.GetInstance(ONE)["Text"] == "here"
        connection.ModifyInstance(instance, PropertyList=["enabled", "WEIGHT"])
        found = connection.GetInstance(ONE)
        assert (found["Text"], found["Enabled"], found["Weight"]) == ("here", True, None)
        with refused(CimStatus.NO_SUCH_PROPERTY):
            connection.ModifyInstance(instance, PropertyList=["Other"])
        with refused(CimStatus.INVALID_PARAMETER, "read-only"):
            connection.ModifyInstance(instance, PropertyList=["Serial"])

    def test_modify_another_class(self, server: CimXmlServer) -> None:
        name = '<INSTANCENAME CLASSNAME="Test_Widget"/>'
        for content in (f'{name}<INSTANCE CLASSNAME="Test_Silent"/>', name, ""):
            value = f"<VALUE.NAMEDINSTANCE>{content}</VALUE.NAMEDINSTANCE>"
            body = imethodcall("ModifyInstance", iparam("ModifiedInstance", value))
            assert error_of(post(server, body)) == 4

    def test_get_property(self, server: CimXmlServer) -> None:
        path = iparam("InstanceName", ONE.tocimxmlstr())
        for name, status, expected in (
            ("text", 0, b"<IRETURNVALUE><VALUE>here</VALUE></IRETURNVALUE>"),
            ("Made", 0, b"<IRETURNVALUE></IRETURNVALUE>"),
            ("Other", 12, b""),
        ):
            wanted = iparam("PropertyName", f"<VALUE>{name}</VALUE>")
            reply = post(server, imethodcall("GetProperty", path + wanted))
            assert error_of(reply) == status
            assert expected in reply.body


class TestParameters:
    @pytest.mark.parametrize(
        "parameters",
        [
            "",
            iparam("ClassName"),
            iparam("ClassName", "<VALUE>Test_Widget</VALUE>"),
            iparam("ClassName", '<CLASSNAME NAME="Test_Widget"/>') * 2,
            iparam("ClassName", '<CLASSNAME NAME="Test_Widget"/>' * 2),
            iparam("ClassName", '<CLASSNAME NAME="Test_Widget"/>') + iparam("Other"),
            iparam("ClassName", '<CLASSNAME NAME="Test_Widget"/>')
            + iparam("IncludeClassOrigin", "<VALUE>maybe</VALUE>"),
            iparam("ClassName", '<CLASSNAME NAME="Test_Widget"/>')
            + iparam("IncludeClassOrigin", "<VALUE><VALUE/></VALUE>"),
            iparam("ClassName", '<CLASSNAME NAME="Test_Widget"/>')
            + iparam("PropertyList", "<VALUE>Text</VALUE>"),
            iparam("ClassName", '<CLASSNAME NAME="Test_Widget"/>')
            + iparam("PropertyList", "<VALUE.ARRAY><VALUE.NULL/></VALUE.ARRAY>"),
        ],
    )
    def test_wrong_ones(self, server: CimXmlServer, widgets: Widgets, parameters: str) -> None:
        assert error_of(post(server, imethodcall("EnumerateInstances", parameters))) == 4
        assert widgets.calls == 0

    def test_names_in_any_case_and_empty_ones(self, server: CimXmlServer) -> None:
        parameters = (
            iparam("classname", '<CLASSNAME NAME="TEST_widget"/>')
            + iparam("LOCALONLY", "<VALUE> tRue </VALUE>")
            + iparam("PropertyList")
        )
        assert error_of(post(server, imethodcall("enumerateinstances", parameters))) == 0


class TestQueries:
    def test_select(self, connection: Connection) -> None:
        query = "SELECT Slot, Text FROM test_widget WHERE Text = 'EVEN' AND Slot > 2"
        found = connection.ExecQuery("WQL", query)
        assert [dict(item) for item in found] == [
            {"Slot": 4, "Text": "even"},
            {"Slot": 6, "Text": "even"},
        ]
        assert [item.path["Name"] for item in found] == ["w4", "w6"]
        assert connection.ExecQuery("wql", f"SELECT * FROM {CLASS} WHERE Slot = 77") == []

    @pytest.mark.parametrize(
        ("language", "query", "status"),
        [
            ("DMTF:CQL", "SELECT * FROM Test_Widget", 14),
            ("WQL2", "SELECT * FROM Test_Widget", 14),
            ("WQL", "SELECT", 15),
            ("WQL", "SELECT * FROM Test_Widget WHERE Other = 1", 15),
            ("WQL", "", 15),
            ("WQL", "SELECT * FROM Test_Other", 5),
        ],
    )
    def test_refused(self, connection: Connection, language: str, query: str, status: int) -> None:
        with refused(CimStatus(status)):
            connection.ExecQuery(language, query)
        with refused(CimStatus(status)):
            connection.OpenQueryInstances(language, query)


class TestAssociations:
    def calls(self, connection: Connection) -> list[Callable[..., object]]:
        return [
            connection.Associators,
            connection.AssociatorNames,
            connection.References,
            connection.ReferenceNames,
        ]

    def opens(self, connection: Connection) -> list[Callable[..., object]]:
        return [
            connection.OpenAssociatorInstances,
            connection.OpenAssociatorInstancePaths,
            connection.OpenReferenceInstances,
            connection.OpenReferenceInstancePaths,
        ]

    def test_nothing_is_associated(self, connection: Connection) -> None:
        for call in self.calls(connection):
            for source in (ONE, CLASS):
                assert call(source, ResultClass="Test_Silent", Role="Antecedent") == []
        for call in self.opens(connection):
            opened = call(ONE, MaxObjectCount=5)
            assert opened.eos  # type: ignore[attr-defined]

    def test_unknown_ones(self, connection: Connection) -> None:
        for call in self.calls(connection):
            with refused(CimStatus.INVALID_PARAMETER, "Test_Other"):
                call("Test_Other")
        for call in (*self.calls(connection), *self.opens(connection)):
            with refused(CimStatus.INVALID_PARAMETER, "Test_Other"):
                call(UNKNOWN)
            with refused(CimStatus.INVALID_PARAMETER, "ResultClass"):
                call(ONE, ResultClass="Test_Other")
            with refused(CimStatus.NOT_FOUND):
                call(ABSENT)
            with refused(CimStatus.INVALID_PARAMETER):
                call(KEYLESS)
        with refused(CimStatus.INVALID_PARAMETER, "AssocClass"):
            connection.Associators(ONE, AssocClass="Test_Other")


class TestPulling:
    def test_iterations(self, puller: Connection) -> None:
        instances = list(puller.IterEnumerateInstances(CLASS, MaxObjectCount=2))
        assert [item["Slot"] for item in instances] == list(range(1, 8))
        paths = list(puller.IterEnumerateInstancePaths(CLASS, MaxObjectCount=3))
        assert paths == [item.path for item in instances]
        assert paths[0].host == "broker:5988"
        assert paths[0].namespace == NAMESPACE
        assert list(puller.IterAssociatorInstances(ONE)) == []
        assert list(puller.IterReferenceInstancePaths(ONE)) == []

    def test_queries(self, puller: Connection) -> None:
        query = f"SELECT Slot FROM {CLASS} WHERE Text = 'odd'"
        answer = puller.IterQueryInstances(
            "WQL", query, MaxObjectCount=1, ReturnQueryResultClass=True
        )
        assert list(answer.query_result_class.properties) == ["Slot"]
        assert [dict(item) for item in answer.generator] == [{"Slot": n} for n in (3, 5, 7)]

    def test_filters(self, puller: Connection) -> None:
        query = f"SELECT * FROM {CLASS} WHERE Slot >= 6"
        for iterate in (puller.IterEnumerateInstances, puller.IterEnumerateInstancePaths):
            found = iterate(CLASS, FilterQueryLanguage="WQL", FilterQuery=query, MaxObjectCount=9)
            assert len(list(found)) == 2

    @pytest.mark.parametrize(
        ("filters", "status"),
        [
            ({"FilterQueryLanguage": "DMTF:FQL", "FilterQuery": "Slot = 1"}, 14),
            ({"FilterQueryLanguage": "WQL", "FilterQuery": "Slot = 1"}, 15),
            ({"FilterQueryLanguage": "WQL", "FilterQuery": "SELECT * FROM Test_Silent"}, 15),
            ({"FilterQueryLanguage": "WQL"}, 4),
            ({"FilterQuery": "SELECT * FROM Test_Widget"}, 4),
            ({"ContinueOnError": True}, 26),
            ({"OperationTimeout": 0}, 22),
            ({"OperationTimeout": 86_400}, 22),
            ({"MaxObjectCount": 2**31, "OperationTimeout": 30}, 0),
            ({"ContinueOnError": False}, 0),
        ],
    )
    def test_what_can_be_asked(
        self, server: CimXmlServer, filters: dict[str, object], status: int
    ) -> None:
        parameters = iparam("ClassName", f'<CLASSNAME NAME="{CLASS}"/>') + "".join(
            iparam(name, f"<VALUE>{value}</VALUE>") for name, value in filters.items()
        )
        for name in ("OpenEnumerateInstances", "OpenEnumerateInstancePaths"):
            assert error_of(post(server, imethodcall(name, parameters))) == status

    def test_the_context_is_new_at_every_pull(self, connection: Connection) -> None:
        opened = connection.OpenEnumerateInstances(CLASS)
        assert (opened.instances, opened.eos) == ([], False)
        seen = [opened.context]
        while not opened.eos:
            opened = connection.PullInstancesWithPath(seen[-1], MaxObjectCount=3)
            assert 1 <= len(opened.instances) <= 3
            seen.append(opened.context)
        assert seen[-1] is None
        assert len(set(seen)) == 4
        for old in seen[:-1]:
            with refused(CimStatus.INVALID_ENUMERATION_CONTEXT):
                connection.PullInstancesWithPath(old, MaxObjectCount=3)

    def test_close(self, connection: Connection) -> None:
        opened = connection.OpenEnumerateInstancePaths(CLASS)
        connection.CloseEnumeration(opened.context)
        for call in (
            lambda: connection.CloseEnumeration(opened.context),
            lambda: connection.PullInstancePaths(opened.context, MaxObjectCount=1),
        ):
            with refused(CimStatus.INVALID_ENUMERATION_CONTEXT):
                call()

    def test_a_wrong_pull_leaves_it_open(
        self, connection: Connection, server: CimXmlServer
    ) -> None:
        opened = connection.OpenEnumerateInstances(CLASS)
        context = iparam("EnumerationContext", f"<VALUE>{opened.context[0]}</VALUE>")
        for count in ("", "<VALUE>-1</VALUE>", "<VALUE>many</VALUE>", "<VALUE>4294967296</VALUE>"):
            body = imethodcall("PullInstancesWithPath", context + iparam("MaxObjectCount", count))
            assert error_of(post(server, body)) == 4
        for pull in (connection.PullInstancePaths, connection.PullInstances):
            with refused(CimStatus.INVALID_ENUMERATION_CONTEXT, "PullInstancesWithPath"):
                pull(opened.context, MaxObjectCount=1)
        assert len(connection.PullInstancesWithPath(opened.context, 10).instances) == 7

    def test_it_belongs_to_its_caller(self, server: CimXmlServer) -> None:
        context = connect(server).OpenEnumerateInstances(CLASS).context
        with refused(CimStatus.INVALID_ENUMERATION_CONTEXT):
            connect(server, OTHER_CALLER).PullInstancesWithPath(context, 10)
        assert connect(server).PullInstancesWithPath(context, 10).eos

    def test_rights_are_asked_for_at_every_pull(self, widgets: Widgets) -> None:
        guard = OpenGuard()
        manager = ObjectManager(SCHEMA, {CLASS: widgets}, guard)
        connection = connect(CimXmlServer(Namespaces([manager])))
        context = connection.OpenEnumerateInstances(CLASS).context
        connection.PullInstancesWithPath(context, 10)
        assert [operation.name for _, operation in guard.seen] == ["Enumerate", "Enumerate"]

    def test_a_reply_has_its_limit(
        self, connection: Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pulling, "MAX_OBJECTS", 3)
        opened = connection.OpenEnumerateInstances(CLASS, MaxObjectCount=1000)
        assert (len(opened.instances), opened.eos) == (3, False)

    def test_only_what_is_pulled_is_made(self, widgets: Widgets, connection: Connection) -> None:
        made = []

        def enumerate_(caller: Caller, where: object):  # type: ignore[no-untyped-def]
            for instance in list(Widgets.enumerate(widgets, caller, {})):
                made.append(instance)
                yield instance
            raise CimError(CimStatus.FAILED, "the host has gone")

        widgets.enumerate = enumerate_  # type: ignore[method-assign]
        opened = connection.OpenEnumerateInstances(CLASS, MaxObjectCount=2)
        assert len(made) == 3
        with refused(CimStatus.FAILED, "the host has gone"):
            connection.PullInstancesWithPath(opened.context, MaxObjectCount=100)


class TestMethods:
    def test_static(self, connection: Connection) -> None:
        for target in (CLASS, pywbem.CIMClassName(CLASS), ONE):
            code, outputs = connection.InvokeMethod(
                "add", target, Left=pywbem.Uint32(20), Right=pywbem.Uint32(22)
            )
            assert (code, dict(outputs)) == (0, {"Sum": 42})

    def test_on_an_instance(self, connection: Connection) -> None:
        assert connection.InvokeMethod("Rename", ONE, Text="x")[1]["Before"] == "here"
        assert connection.InvokeMethod("Rename", ONE, [("Text", None)])[1]["Before"] == "x"
        assert connection.GetInstance(ONE)["Text"] is None

    def test_values_of_every_form(self, connection: Connection) -> None:
        when = pywbem.CIMDateTime("20260102030405.678900+060")
        for tags in (["a", "", "<&>"], [], None):
            parameters = [
                pywbem.CIMParameter("Text", "string", value=" <\u00e4> "),
                pywbem.CIMParameter("Tags", "string", value=tags, is_array=True),
                pywbem.CIMParameter("When", "datetime", value=when),
            ]
            _, outputs = connection.InvokeMethod("Echo", CLASS, parameters)
            assert outputs["TextOut"] == " <\u00e4> "
            assert outputs["TagsOut"] == tags
            assert outputs["WhenOut"] == when

    def test_a_refusal_is_an_answer_with_its_reason(
        self, connection: Connection, server: CimXmlServer
    ) -> None:
        assert connection.InvokeMethod("Refuse", CLASS)[0] == 0x80041008
        reply = post(server, methodcall("Refuse", f'<CLASSNAME NAME="{CLASS}"/>'))
        assert unquote(dict(reply.headers)["OpenRDMS-Reason"]) == "not like <this> & that"
        assert dict(reply.headers)["OpenRDMS-Reason-Code"] == "NotAsAsked"

    @pytest.mark.parametrize(
        ("method", "target", "parameters", "status"),
        [
            ("Rename", CLASS, {"Text": "x"}, 4),
            ("Rename", ONE, {}, 4),
            ("Rename", ONE, {"Text": "x", "Before": "y"}, 4),
            ("Rename", ONE, {"Text": "x", "Other": "y"}, 4),
            ("Rename", ONE, {"Text": pywbem.Uint8(1)}, 13),
            ("Rename", ONE, {"Text": ["x"]}, 13),
            ("Add", CLASS, {"Left": "1", "Right": pywbem.Uint32(1)}, 13),
            ("Add", CLASS, {"Left": pywbem.Uint32(1)}, 4),
            ("Nothing", CLASS, {}, 17),
            ("Add", "Test_Other", {}, 5),
            ("ReadKey", CLASS, {"Key": "Colour"}, 6),
            ("Crash", CLASS, {}, 1),
        ],
    )
    def test_faults(
        self,
        connection: Connection,
        method: str,
        target: str | pywbem.CIMInstanceName,
        parameters: dict[str, object],
        status: int,
    ) -> None:
        with refused(CimStatus(status)) as caught:
            connection.InvokeMethod(method, target, **parameters)
        assert "secret" not in str(caught)

    def test_a_parameter_given_twice(self, server: CimXmlServer) -> None:
        left = '<PARAMVALUE NAME="Left"><VALUE>1</VALUE></PARAMVALUE>'
        body = methodcall("Add", f'<CLASSNAME NAME="{CLASS}"/>', left * 2)
        assert error_of(post(server, body)) == 4


class TestDeclarations:
    @pytest.fixture
    def rdms(self) -> Connection:
        manager = ObjectManager(schema.load_rdms(), {}, OpenGuard())
        return connect(CimXmlServer(Namespaces([manager])))

    def test_names(self, rdms: Connection) -> None:
        names = rdms.EnumerateClassNames()
        assert len(names) == 13
        assert rdms.EnumerateClassNames(DeepInheritance=True) == names
        assert [item.classname for item in rdms.EnumerateClasses()] == names
        assert rdms.EnumerateClassNames(ClassName=names[0]) == []
        assert rdms.EnumerateClasses(ClassName=names[0]) == []
        with refused(CimStatus.INVALID_CLASS):
            rdms.EnumerateClassNames(ClassName="Win32_Nothing")
        with refused(CimStatus.INVALID_CLASS):
            rdms.EnumerateClasses(ClassName="Win32_Nothing")

    def test_a_class(self, rdms: Connection) -> None:
        found = rdms.GetClass("win32_rdmsvirtualdesktop", IncludeClassOrigin=True)
        assert found.classname == "Win32_RDMSVirtualDesktop"
        assert found.properties["Name"].qualifiers["Key"].value is True
        assert found.properties["Name"].class_origin == found.classname
        assert "SetVirtualDesktopState" in found.methods
        part = rdms.GetClass(found.classname, PropertyList=["NAME"], IncludeQualifiers=False)
        assert list(part.properties) == ["Name"]
        assert not part.properties["Name"].qualifiers
        with refused(CimStatus.NOT_FOUND):
            rdms.GetClass("Win32_Nothing")

    def test_qualifiers(self, rdms: Connection) -> None:
        declared = rdms.EnumerateQualifiers()
        assert "Key" in [item.name for item in declared]
        assert rdms.GetQualifier("KEY") == next(item for item in declared if item.name == "Key")
        with refused(CimStatus.NOT_FOUND):
            rdms.GetQualifier("Nothing")

    def test_the_schema_cannot_be_changed(self, rdms: Connection) -> None:
        for call in (
            lambda: rdms.CreateClass(pywbem.CIMClass("X")),
            lambda: rdms.ModifyClass(pywbem.CIMClass("X")),
            lambda: rdms.DeleteClass("Win32_RDMSVirtualDesktop"),
            lambda: rdms.SetQualifier(pywbem.CIMQualifierDeclaration("X", "string")),
            lambda: rdms.DeleteQualifier("Key"),
        ):
            with refused(CimStatus.NOT_SUPPORTED):
                call()


def test_who_asks_is_told_to_the_guard(widgets: Widgets) -> None:
    guard = OpenGuard()
    manager = ObjectManager(SCHEMA, {CLASS: widgets}, guard)
    connect(CimXmlServer(Namespaces([manager]))).GetInstance(ONE)
    ((name, operation),) = guard.seen
    assert name == CALLER.name
    assert (operation.name, operation.keys) == ("Get", {"Name": "one", "Slot": 1})
