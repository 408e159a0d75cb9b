"""Win32_RDMSDeploymentSettings: static methods, no instances."""

from __future__ import annotations

from openrdms.model import errors
from openrdms.model.setting import PRIMARY_CONNECTION, SECONDARY_CONNECTION
from openrdms.providers.property_methods import never_set, property_methods
from openrdms.providers.service_provider import Call, Method, ServiceProvider
from openrdms.providers.values import Values, get_text
from openrdms.services.settings import Directory, Settings


class DeploymentSettings(ServiceProvider):
    """Values of the deployment, by key or by methods of their own."""

    cim_class = "Win32_RDMSDeploymentSettings"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        properties = property_methods(lambda _, key: settings.find(key), self._set)
        self._get_any_string = properties["GetStringProperty"]
        self.methods = properties | {
            "GetStringProperty": self._get_string,
            "GetStringArrayDeploymentSetting": self._get_array,
            "SetStringArrayDeploymentSetting": self._set_array,
            "RemoveDeploymentSetting": self._remove,
            **self._connection_methods("ConnectionString", PRIMARY_CONNECTION),
            **self._connection_methods("SecondaryConnectionString", SECONDARY_CONNECTION),
        }
        for directory in Directory:
            self.methods |= self._directory_methods(directory)

    def _set(self, _: Values, key: str, value: int | str) -> None:
        self._settings.set(key, value)

    def _get_string(self, call: Call) -> Values | None:
        """Clients read the primary connection string to learn that there is none (facts 0.8)."""
        key = get_text(call.parameters, "Key")
        if key.casefold() == PRIMARY_CONNECTION.casefold():
            return {"Value": self._find_text(key)}
        return self._get_any_string(call)

    def _get_array(self, call: Call) -> Values:
        key = get_text(call.parameters, "Key")
        value = self._settings.find(key)
        if not isinstance(value, tuple):
            raise never_set(f"Key: {key!r}", "an array")
        return {"Value": list(value)}

    def _set_array(self, call: Call) -> None:
        value = call.parameters["Value"]
        if not isinstance(value, list):
            raise errors.InvalidParameter("Value", "is NULL")
        if None in value:
            raise errors.InvalidParameter("Value", "holds NULL")
        self._settings.set(get_text(call.parameters, "Key"), tuple(str(item) for item in value))

    def _remove(self, call: Call) -> None:
        self._settings.remove(get_text(call.parameters, "Key"))

    def _connection_methods(self, name: str, key: str) -> dict[str, Method]:
        """Other names for one key."""
        return {
            f"Get{name}": lambda _: {name: self._find_text(key)},
            f"Set{name}": lambda call: self._settings.set(
                key, get_text(call.parameters, name), field=name
            ),
        }

    def _directory_methods(self, directory: Directory) -> dict[str, Method]:
        def get(_: Call) -> Values:
            path = self._settings.find_directory(directory)
            if path is None:
                raise never_set(directory, "a directory")
            return {"DirectoryPath": path}

        def change(call: Call) -> None:
            path = get_text(call.parameters, "DirectoryPath")
            self._settings.set_directory(directory, path)

        return {f"Get{directory}": get, f"Set{directory}": change}

    def _find_text(self, key: str) -> str | None:
        value = self._settings.find(key)
        return value if isinstance(value, str) else None
