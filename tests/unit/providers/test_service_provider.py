"""What every class bound to services has in common."""

from collections.abc import Iterable

import pytest

from openrdms.cim.errors import CimError, CimStatus
from openrdms.cim.provider import Caller
from openrdms.model import errors
from openrdms.providers.service_provider import ServiceProvider, Where
from openrdms.providers.values import Values

CALLER = Caller("admin", "127.0.0.1", "administrator")


class Breaking(ServiceProvider):
    """Gives ``good`` instances, then fails."""

    cim_class = "Test_Breaking"

    def __init__(self, good: int) -> None:
        self.good = good
        self.made = 0

    def do_list(self, where: Where) -> Iterable[Values]:
        for number in range(self.good):
            self.made += 1
            yield {"Number": number}
        raise errors.HostUnavailable("host1 is gone")


class NotListing(ServiceProvider):
    cim_class = "Test_NotListing"


@pytest.mark.parametrize("good", [0, 1, 5])
def test_an_error_on_the_way_is_a_cim_error(good: int) -> None:
    found = Breaking(good).enumerate(CALLER, {})
    assert [next(found).properties["Number"] for _ in range(good)] == list(range(good))
    with pytest.raises(CimError) as caught:
        next(found)
    assert caught.value.status is CimStatus.FAILED


def test_nothing_is_made_before_it_is_wanted() -> None:
    provider = Breaking(5)
    found = provider.enumerate(CALLER, {})
    assert provider.made == 0
    next(found)
    assert provider.made == 1


def test_a_class_that_lists_nothing_says_so() -> None:
    with pytest.raises(CimError) as caught:
        next(NotListing().enumerate(CALLER, {}))
    assert caught.value.status is CimStatus.NOT_SUPPORTED
