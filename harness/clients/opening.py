"""The resource and the interfaces that an application declares, by whatever they are spoken to."""

from __future__ import annotations

from harness.clients.http import HttpClient
from harness.clients.modbus import ModbusClient
from harness.clients.mqtt import MqttClient
from harness.clients.opcua import OpcUaClient
from harness.clients.resource import ProductResource
from harness.clients.vendor import open_vendor
from harness.control.deployment import Deployment
from harness.model.definitions import Modbus, OpcUa


def open_resource(deployment: Deployment) -> ProductResource | None:
    """The resource, to be closed by who asks for it; None where the application declares none.

    Raises:
        SuiteError: it is a class of the vendor that cannot be used.
        UsageError: HTTPS cannot be spoken by what the application declares.
        InfrastructureError: this machine has no sandbox for the vendor's class.
    """
    application = deployment.context.application
    if application.resource is not None:
        return open_vendor(deployment, application.resource)
    if application.http is not None and application.http.resource is not None:
        return HttpClient(deployment).resource
    return None


def open_interfaces(deployment: Deployment, protocol: str) -> list[ModbusClient | MqttClient | OpcUaClient]:
    """A client of each declared interface of a protocol, to be closed by who asks for it; none is connected yet.

    Raises:
        InfrastructureError: the library of the protocol is not installed on this machine.
    """
    clients: list[ModbusClient | MqttClient | OpcUaClient] = []
    for name, interface in deployment.context.application.interfaces.items():
        if interface.protocol != protocol:
            continue
        if isinstance(interface, Modbus):
            clients.append(ModbusClient(deployment, name, interface))
        elif isinstance(interface, OpcUa):
            clients.append(OpcUaClient(deployment, name, interface))
        else:
            clients.append(MqttClient(deployment, name, interface))
    return clients
