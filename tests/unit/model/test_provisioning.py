from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrdms.model.errors import InvalidParameter
from openrdms.model.host import DiskKind
from openrdms.model.job import JobAction
from openrdms.model.provisioning import (
    EXTENSION_NAMESPACE,
    MAX_DOCUMENT,
    NAMESPACE,
    HostAllocation,
    JobDocument,
    OnError,
    parse_job,
    render_job,
)
from openrdms.model.rollout import ALL, Share

UNATTEND = (
    '<?xml version="1.0" encoding="utf-8"?><unattend xmlns="urn:schemas-microsoft-com:unattend">'
    '<settings pass="oobeSystem"><component name="Microsoft-Windows-Shell-Setup">'
    "<OOBE><ProtectYourPC>3</ProtectYourPC></OOBE></component></settings></unattend>"
)
CREATE = JobDocument(
    action=JobAction.CREATE,
    on_error=OnError.STOP,
    collection="Sales",
    disk_kind=DiskKind.LINKED,
    base_vm_location="image:tiny",
    name_prefix="sales-",
    domain="corp.example.org",
    ou="OU=Pool\\, 1,OU=Desks,DC=corp,DC=example,DC=org",
    unattend_xml=UNATTEND,
    hosts=(HostAllocation("host1.sim.local", 2), HostAllocation("HOST2", 1)),
)

STOCK_CREATE = f"""<?xml version="1.0" encoding="utf-16"?>
<rdvp:RDVProvisioning xmlns:rdvp="{NAMESPACE}"><rdvp:ProvisionPoolRequest>
<rdvp:Job><rdvp:Action>Create</rdvp:Action><rdvp:OnError>Stop</rdvp:OnError></rdvp:Job>
<rdvp:Pool><rdvp:Name>Sales</rdvp:Name><rdvp:VhdType>DiffDisk</rdvp:VhdType>
<rdvp:Mark_HA>No</rdvp:Mark_HA></rdvp:Pool>
<rdvp:Vm><rdvp:BaseVmLocation>image:tiny</rdvp:BaseVmLocation><rdvp:SMBShare></rdvp:SMBShare>
<rdvp:LocalVmCreationPath></rdvp:LocalVmCreationPath><rdvp:LocalGoldCachePath/>
<rdvp:RunVMsFromSMB>0</rdvp:RunVMsFromSMB><rdvp:EnableVmStreaming>0</rdvp:EnableVmStreaming>
<rdvp:NamingPrefix>sales-</rdvp:NamingPrefix><rdvp:NamingStartIndex>1</rdvp:NamingStartIndex>
<rdvp:Domain>corp.example.org</rdvp:Domain>
<rdvp:OU>OU=Pool\\, 1,OU=Desks,DC=corp,DC=example,DC=org</rdvp:OU>
<rdvp:UnattendXml><![CDATA[{UNATTEND}]]></rdvp:UnattendXml></rdvp:Vm>
<rdvp:HyperVHosts>
<rdvp:HyperVHost><rdvp:Name>host1.sim.local</rdvp:Name><rdvp:NumberVms>2</rdvp:NumberVms>
</rdvp:HyperVHost>
<rdvp:HyperVHost><rdvp:Name>HOST2</rdvp:Name><rdvp:NumberVms>1</rdvp:NumberVms></rdvp:HyperVHost>
</rdvp:HyperVHosts>
<rdvp:SelectedVms><rdvp:SelectedVm></rdvp:SelectedVm></rdvp:SelectedVms>
</rdvp:ProvisionPoolRequest></rdvp:RDVProvisioning>"""


def refused_field(text: str) -> str:
    with pytest.raises(InvalidParameter) as refusal:
        parse_job(text)
    return refusal.value.field


def test_stock_create_document_is_read() -> None:
    assert parse_job(STOCK_CREATE) == CREATE


def test_no_hosts_element_is_no_host() -> None:
    begin, end = STOCK_CREATE.index("<rdvp:HyperVHosts>"), STOCK_CREATE.index("<rdvp:SelectedVms>")
    assert parse_job(STOCK_CREATE[:begin] + STOCK_CREATE[end:]).hosts == ()


@pytest.mark.parametrize(
    "selected", ["<rdvp:SelectedVm/>", "", "<rdvp:SelectedVm> </rdvp:SelectedVm>"]
)
@pytest.mark.parametrize("action", ["Delete", "PATCH"])
def test_empty_selected_vm_is_nobody(action: str, selected: str) -> None:
    text = render_job(replace(CREATE, hosts=()))
    text = text.replace("<rdvp:SelectedVms/>", f"<rdvp:SelectedVms>{selected}</rdvp:SelectedVms>")
    assert parse_job(text.replace(">Create<", f">{action}<")).selected == ()


def test_later_jobs_lose_the_wrong_ou_and_the_default_unattend() -> None:
    text = render_job(CREATE).replace(">Create<", ">Update<").replace(CREATE.ou, "not, a DN")
    later = parse_job(text)
    assert (later.action, later.ou, later.unattend_xml) == (JobAction.UPDATE, "", "")


ELEMENTS = [
    "ProvisionPoolRequest", "Job", "Action", "OnError", "Pool", "Name", "VhdType", "Mark_HA", "Vm",
    "BaseVmLocation", "SMBShare", "LocalVmCreationPath", "LocalGoldCachePath", "RunVMsFromSMB",
    "EnableVmStreaming", "NamingPrefix", "NamingStartIndex", "Domain", "OU", "UnattendXml",
    "SelectedVms",
]  # fmt: skip


@pytest.mark.parametrize("element", ELEMENTS)
def test_missing_element_is_named(element: str) -> None:
    from lxml import etree

    root = etree.fromstring(render_job(CREATE).partition("?>")[2])
    found = next(root.iter(f"{{{NAMESPACE}}}{element}"))
    found.getparent().remove(found)
    assert refused_field(etree.tostring(root, encoding="unicode")) == element


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        (">Create<", ">Destroy<", "Action"),
        (">Create<", ">Prep<", "Action"),
        (">Stop<", ">Ask<", "OnError"),
        (">Sales<", "> <", "Name"),
        (">DiffDisk<", ">Thin<", "VhdType"),
        (">No<", ">Perhaps<", "Mark_HA"),
        (">image:tiny<", "><", "BaseVmLocation"),
        (">image:tiny<", f">{'x' * 5000}<", "BaseVmLocation"),
        (">image:tiny<", "><b/><", "BaseVmLocation"),
        (">sales-<", "><", "NamingPrefix"),
        (">sales-<", ">sales!<", "NamingPrefix"),
        (">sales-<", ">../x<", "NamingPrefix"),
        (">1</rdvp:NamingStartIndex", ">-1</rdvp:NamingStartIndex", "NamingStartIndex"),
        (">1</rdvp:NamingStartIndex", ">99999999999</rdvp:NamingStartIndex", "NamingStartIndex"),
        (">0</rdvp:RunVMsFromSMB", ">yes</rdvp:RunVMsFromSMB", "RunVMsFromSMB"),
        (">0</rdvp:EnableVmStreaming", "></rdvp:EnableVmStreaming", "EnableVmStreaming"),
        ("corp.example.org<", "corp..org<", "Domain"),
        (">OU=Pool", ">Pool", "OU"),
        (">2</rdvp:NumberVms", ">two</rdvp:NumberVms", "NumberVms"),
        (">2</rdvp:NumberVms", ">100000</rdvp:NumberVms", "NumberVms"),
        (">host1.sim.local<", f">{'h' * 128}<", "HyperVHost"),
        ("<rdvp:SelectedVms/>", "<rdvp:SelectedVms><rdvp:SelectedVm>a</rdvp:SelectedVm></rdvp:SelectedVms>", "SelectedVm"),  # noqa: E501
        ("<rdvp:SelectedVms/>", "<rdvp:SelectedVms><rdvp:Vm/></rdvp:SelectedVms>", "Vm"),
        ("<rdvp:Pool>", "<rdvp:Pool>text", "Pool"),
        ("<rdvp:Pool>", '<rdvp:Pool id="1">', "Pool"),
        ("<rdvp:Action>", '<rdvp:Action lang="de">', "Action"),
        ("<rdvp:Pool>", "<rdvp:Colour/><rdvp:Pool>", "Colour"),
        ("<rdvp:Pool>", '<Pool xmlns="urn:other"/><rdvp:Pool>', "Pool"),
        ("<rdvp:OnError>Stop</rdvp:OnError>", "<rdvp:OnError>Stop</rdvp:OnError>" * 2, "OnError"),
        ("</rdvp:Job>", f'<Start xmlns="{EXTENSION_NAMESPACE}">maybe</Start></rdvp:Job>', "Start"),
        ("ProtectYourPC>", "ComputerName>", "UnattendXml"),
        ("Microsoft-Windows-Shell-Setup", "Microsoft-Windows-UnattendedJoin", "UnattendXml"),
        ("</unattend>", "</unatend>", "UnattendXml"),
        (">Sales<", ">R&D<", "JobInputXml"),
        (">Sales<", ">a < b<", "JobInputXml"),
        (">Sales<", ">\ud800<", "JobInputXml"),
        (NAMESPACE, "urn:wrong", "RDVProvisioning"),
    ],
)  # fmt: skip
def test_wrong_element_is_named(old: str, new: str, field: str) -> None:
    text = render_job(CREATE)
    assert old in text
    assert refused_field(text.replace(old, new)) == field


@pytest.mark.parametrize("action", ["Delete", "Patch"])
def test_hosts_mean_nothing_to_jobs_on_desktops(action: str) -> None:
    assert refused_field(render_job(CREATE).replace(">Create<", f">{action}<")) == "HyperVHost"


def extended(action: str, *elements: str) -> str:
    """A job with elements of ours, the last children of Job."""
    ours = "".join(elements).replace("<", "<x:").replace("<x:/", "</x:")
    text = render_job(replace(CREATE, hosts=())).replace(">Create<", f">{action}<")
    text = text.replace("<rdvp:Job>", f'<rdvp:Job xmlns:x="{EXTENSION_NAMESPACE}">')
    return text.replace("</rdvp:Job>", f"{ours}</rdvp:Job>")


def test_update_says_how_it_is_rolled_out() -> None:
    text = extended(
        "Patch",
        "<Waves> 1%, 5, 100% </Waves>",
        "<MaxUnavailable>10%</MaxUnavailable>",
        "<Probe>systemctl is-system-running</Probe>",
    )
    document = parse_job(text)
    assert document.waves == (Share(1, percent=True), Share(5), ALL)
    assert document.max_unavailable == Share(10, percent=True)
    assert document.probe == "systemctl is-system-running"


@pytest.mark.parametrize(
    ("elements", "field"),
    [
        (["<Waves>10%,5%,100%</Waves>"], "Waves"),
        (["<Waves>10%,10%,100%</Waves>"], "Waves"),
        (["<Waves>7,3,100%</Waves>"], "Waves"),
        (["<Waves>10%</Waves>"], "Waves"),
        (["<Waves>0,100%</Waves>"], "Waves"),
        (["<Waves>1%,,100%</Waves>"], "Waves"),
        (["<Waves>half,100%</Waves>"], "Waves"),
        (["<Waves>1%,101%</Waves>"], "Waves"),
        (["<Waves/>"], "Waves"),
        ([f"<Waves>{','.join(map(str, range(1, 40)))},100%</Waves>"], "Waves"),
        (["<MaxUnavailable>0</MaxUnavailable>"], "MaxUnavailable"),
        (["<MaxUnavailable>-1</MaxUnavailable>"], "MaxUnavailable"),
        (["<MaxUnavailable>0%</MaxUnavailable>"], "MaxUnavailable"),
        (["<MaxUnavailable>many</MaxUnavailable>"], "MaxUnavailable"),
        (["<Probe> </Probe>"], "Probe"),
        (["<Probe><b/></Probe>"], "Probe"),
        (["<Probe>true\nfalse</Probe>"], "Probe"),
        (["<Probe>echo \x9b2J</Probe>"], "Probe"),
        ([f"<Probe>{'x' * 4097}</Probe>"], "Probe"),
        (["<Probe>true</Probe>", "<Waves>100%</Waves>"], "Waves"),
        (["<Waves>100%</Waves>", "<Waves>100%</Waves>"], "Waves"),
        (["<Colour>blue</Colour>"], "Colour"),
    ],
)
def test_wrong_rollout_is_named(elements: list[str], field: str) -> None:
    assert refused_field(extended("Patch", *elements)) == field


@pytest.mark.parametrize("action", ["Create", "Update", "Delete"])
@pytest.mark.parametrize(
    "element",
    ["<Waves>100%</Waves>", "<MaxUnavailable>1</MaxUnavailable>", "<Probe>true</Probe>"],
)
def test_only_an_update_is_rolled_out(action: str, element: str) -> None:
    assert refused_field(extended(action, element)) == element[1:].partition(">")[0]


def test_order_is_the_clients() -> None:
    action, on_error = "<rdvp:Action>Create</rdvp:Action>", "<rdvp:OnError>Stop</rdvp:OnError>"
    text = render_job(CREATE).replace(action + on_error, on_error + action)
    assert refused_field(text) == "Action"


@pytest.mark.parametrize(
    "prologue",
    [
        '<!DOCTYPE a [<!ENTITY x "aaaaaaaaaa"><!ENTITY y "&x;&x;&x;&x;&x;&x;">]>',
        '<!DOCTYPE a SYSTEM "file:///etc/passwd">',
    ],
)
def test_document_types_are_refused(prologue: str) -> None:
    text = render_job(CREATE).replace("?>", "?>" + prologue)
    assert refused_field(text) == "JobInputXml"
    inner = replace(CREATE, unattend_xml=prologue + UNATTEND.partition("?>")[2])
    assert refused_field(render_job(inner)) == "UnattendXml"


def test_size_is_limited() -> None:
    assert refused_field(" " * MAX_DOCUMENT + render_job(CREATE)) == "JobInputXml"


WORD = st.text("abcXYZ019", min_size=1, max_size=12)
# XML turns \r into \n, blanks at the ends do not count
TEXT = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Cn"), exclude_characters="\ufffe\uffff"),
    max_size=30,
).map(str.strip)
HOSTS = st.lists(st.builds(HostAllocation, TEXT, st.integers(1, 500)), max_size=4).map(tuple)
ANY = st.builds(
    JobDocument,
    action=st.sampled_from([JobAction.CREATE, JobAction.UPDATE, JobAction.DELETE, JobAction.PATCH]),
    on_error=st.sampled_from(OnError),
    collection=TEXT.filter(bool),
    disk_kind=st.sampled_from(DiskKind),
    mark_ha=st.booleans(),
    base_vm_location=TEXT.filter(bool),
    smb_share=TEXT,
    local_vm_path=TEXT,
    local_gold_path=TEXT,
    run_from_smb=st.booleans(),
    streaming=st.booleans(),
    name_prefix=WORD,
    start_index=st.integers(0, 2**31 - 1),
    domain=st.lists(WORD, max_size=4).map(".".join),
    ou=st.lists(WORD, max_size=4).map(lambda parts: ",".join(f"OU={part}" for part in parts)),
    unattend_xml=st.sampled_from(["", UNATTEND]),
    hosts=HOSTS,
    selected=st.lists(TEXT.filter(bool), max_size=4).map(tuple),
    start=st.booleans(),
    waves=st.sampled_from([(), (ALL,), (Share(1, percent=True), Share(7), ALL)]),
    max_unavailable=st.none() | st.builds(Share, st.integers(1, 100), st.booleans()),
    probe=TEXT.filter(str.isprintable),
)


def legal(document: JobDocument) -> JobDocument:
    if document.action is not JobAction.PATCH:
        document = replace(document, waves=(), max_unavailable=None, probe="")
    if document.action is not JobAction.CREATE:
        document = replace(document, ou="", unattend_xml="")
    return (
        replace(document, selected=()) if document.makes_desktops else replace(document, hosts=())
    )


@given(ANY.map(legal))
def test_parse_is_the_inverse_of_render(document: JobDocument) -> None:
    assert parse_job(render_job(document)) == document


@given(
    st.text(max_size=200) | st.integers(0, len(STOCK_CREATE) - 1).map(lambda at: STOCK_CREATE[:at])
)
def test_anything_else_is_an_invalid_parameter(text: str) -> None:
    with pytest.raises(InvalidParameter):
        parse_job(text)


@given(st.integers(0, len(STOCK_CREATE) - 1), st.characters())
def test_one_wrong_character_never_breaks_the_parser(at: int, character: str) -> None:
    try:
        parse_job(STOCK_CREATE[:at] + character + STOCK_CREATE[at + 1 :])
    except InvalidParameter as refusal:
        assert refusal.field


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"probe": "true\x07"}, "Probe"),
        ({"name_prefix": "vd\x00"}, "NamingPrefix"),
        ({"unattend_xml": "<a/>\x08"}, "UnattendXml"),
        ({"selected": ("vd-1", "vd\x1b2")}, "SelectedVm"),
    ],
)
def test_what_xml_cannot_hold_is_named(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        render_job(replace(CREATE, **change))
    assert refused.value.field == field
