"""Failed assertions inside the suites show their values, as in any test module."""

import pytest

pytest.register_assert_rewrite(
    "contract.host_suite", "contract.guest_suite", "contract.store_suite"
)
