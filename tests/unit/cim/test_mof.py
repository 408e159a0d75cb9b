import pytest

from fakes.widgets import WIDGET
from openrdms.cim import mof
from openrdms.cim.types import CimType


def test_a_class_is_read_with_everything_that_matters() -> None:
    assert [item.name for item in WIDGET.keys] == ["Name", "Slot"]
    assert WIDGET.get_property("tags").array
    assert not WIDGET.get_property("Serial").writable
    echo = WIDGET.get_method("ECHO")
    assert echo.is_static
    assert [item.name for item in echo.inputs] == ["Text", "Tags", "When"]
    assert [item.name for item in echo.outputs] == ["TextOut", "TagsOut", "WhenOut"]
    assert not WIDGET.get_method("Rename").is_static


def test_comments_pragmas_strings_and_defaults() -> None:
    text = """
        #pragma locale ("en_US")
        // a comment with "quotes"
        Qualifier Description : string = null, Scope(any), Flavor(ToSubclass);
        /* class Hidden { }; */
        [Description("one; two }" " three"), ValueMap{"1", "2"}]
        class C { [Key, MaxLen(8)] string Name; boolean On = TRUE; uint8 Few[] = {1, 2, NULL};
                  sint32 Low = -5; };
    """
    (found,) = mof.parse_classes(text)
    assert found.name == "C"
    assert found.get_property("Name").max_length == 8
    assert [item.default for item in found.properties] == [None, True, [1, 2, None], -5]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("class C { string A }", "'}' where ';'"),
        ("class C {", "ends too early"),
        ("class C { nothing A; };", "'nothing' is not a type"),
        ("\nclass C { string ?; };", "line 2: '?' is not MOF"),
        ("class C { uint32 M([In, ID(1)] string A); };", "M: the ID qualifiers"),
        ("class C { uint32 M([In] string A); };", "M: the ID qualifiers"),
        ("struct C { };", "'struct' where 'class'"),
        ("class C { string A = B; };", "'B' is not a value"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, words: str) -> None:
    with pytest.raises(mof.MofError) as caught:
        mof.parse_classes(text)
    assert words in str(caught.value)


def test_types_are_read_in_any_case() -> None:
    (found,) = mof.parse_classes("class C { STRING A; DateTime B; };")
    assert [item.type for item in found.properties] == [CimType.STRING, CimType.DATETIME]
