"""The rules of a collection's pool, read from its settings as they are now."""

from __future__ import annotations

from openrdms import ports
from openrdms.model import farm_settings
from openrdms.model.collection import CollectionState, CollectionType
from openrdms.model.pool_policy import PoolRules

_UPDATING = frozenset(
    {CollectionState.UPDATE_VIRTUAL_DESKTOP_INPROGRESS, CollectionState.CANCEL_INPROGRESS}
)
"""While it is not decided yet which image the collection will have."""


def find_rules(store: ports.Store, alias: str) -> PoolRules | None:
    """None when there is no such collection."""
    collection = store.find_collection(alias)
    if collection is None:
        return None
    settings = store.find_provisioning(alias)
    decided = settings is not None and collection.state not in _UPDATING
    return PoolRules(
        pooled=collection.type is CollectionType.POOLED,
        save_delay=farm_settings.read_save_delay(
            collection.vm_farm_settings or farm_settings.DEFAULT
        ),
        image=settings.image if settings and decided else "",
    )
