"""A session of OPC UA: attributes, writes, browsing, subscriptions, history (OPC 10000-4, 5.6 to 5.14)."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from harness.control.fault import ProductFault
from harness.errors import StepTimeout
from harness.model.nodes import NodePoint
from harness.system.wait import wait_until

if TYPE_CHECKING:
    from harness.clients.opcua import OpcUaClient

#: Nodes of one request: few servers have a limit below it (OPC 10000-5, OperationLimits).
TOGETHER = 100
#: Changes that a subscription keeps, beyond which a server sends without end.
MOST_KEPT = 200_000
#: Pages of a history or of the references of a node, beyond which a server gives them without end.
MOST_PAGES = 1000
#: Milliseconds that a subscription asks for.
PUBLISHING = 100.0
NAMESPACES, CURRENT_TIME, OBJECTS, SERVER = 2255, 2258, 85, 2253
HIERARCHICAL, HAS_PROPERTY = 33, 46


class Refused(ProductFault):
    """The product answered with a bad status; ``status``: its name (OPC 10000-4, 7.38)."""

    def __init__(self, what: str, status: str, meaning: str = "") -> None:
        more = f" ({meaning})" if meaning else ""
        super().__init__(f"{what}: {status}{more}", f"{what}：{status}")
        self.status = status


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A DataValue: ``status`` by its name; ``kind`` of the built-in types, empty for no value; times in UTC."""

    value: Any
    kind: str
    array: bool
    status: str
    source: datetime | None
    server: datetime | None

    @property
    def good(self) -> bool:
        """Whether its status is Good, or one of the kinds of Good."""
        return self.status.startswith("Good")


class Watch:
    """A subscription, and every change that it told of, in order: the point and what it read."""

    def __init__(self, session: UaSession, points: Sequence[NodePoint]) -> None:
        self.session, self.points = session, tuple(points)
        self.changes: list[tuple[NodePoint, Reading]] = []
        self.refused: dict[str, str] = {}  #: name of a point -> status
        self._lock = threading.Lock()

    async def take(self, result: Any) -> None:
        """Take what a Publish brought."""
        for notification in result.NotificationMessage.NotificationData or ():
            for item in getattr(notification, "MonitoredItems", None) or ():
                with self._lock:
                    if 0 <= item.ClientHandle < len(self.points) and len(self.changes) < MOST_KEPT:
                        self.changes.append((self.points[item.ClientHandle], self.session.reading(item.Value)))

    def of(self, point: NodePoint) -> list[Reading]:
        """What it told of a point so far."""
        with self._lock:
            return [reading for each, reading in self.changes if each is point]

    def until(self, check: Callable[[], bool], seconds: float) -> bool:
        """Whether something comes to be within seconds."""
        with contextlib.suppress(StepTimeout):
            wait_until(check, seconds=seconds, what="a notification", interval=0.01, longest=0.05)
        return check()


class UaSession:
    """A session of its own over a connection of its own."""

    def __init__(self, owner: OpcUaClient, client: Any) -> None:
        self.owner, self._client = owner, client
        self._ua = owner.library.ua
        self._uris: list[str] | None = None

    # -- nodes

    def namespaces(self) -> list[str]:
        """The NamespaceArray, read anew. Raises as ``read``."""
        (reading,) = self.attributes([self._ua.NodeId(NAMESPACES, 0)])
        if not reading.good or not isinstance(reading.value, list):
            raise Refused(f"{self.owner.name}: NamespaceArray", reading.status)
        self._uris = [str(uri) for uri in reading.value]
        return self._uris

    def node(self, point: NodePoint) -> Any:
        """The node id of a point, with the index that its namespace has now. Raises ProductFault: it has none."""
        namespace = point.namespace or "0"
        if not namespace.isdecimal():
            uris = self._uris if self._uris is not None else self.namespaces()
            if namespace not in uris:
                raise ProductFault(
                    f"{self.owner.name}: {point.name}: the server has no namespace {namespace}",
                    f"{self.owner.name}：{point.name}：服务器没有命名空间 {namespace}",
                )
            namespace = str(uris.index(namespace))
        return self._ua.NodeId.from_string(f"ns={namespace};{point.node}")

    def numeric(self, identifier: int, namespace: int = 0) -> Any:
        """The node id of a number."""
        return self._ua.NodeId(identifier, namespace)

    def unknown(self, mark: str) -> Any:
        """A node id that no server has."""
        return self._ua.NodeId(f"harness-nowhere-{mark}", 0)

    def unit(self, point: NodePoint) -> str:
        """The text of EngineeringUnits of a point (OPC 10000-8, 5.6.3); empty where it has none. Raises as ``read``."""
        path = self._ua.BrowsePath(self.node(point), self._ua.RelativePath())
        step = self._ua.RelativePathElement()
        step.ReferenceTypeId, step.IncludeSubtypes, step.IsInverse = self.numeric(HAS_PROPERTY), True, False
        step.TargetName = self._ua.QualifiedName("EngineeringUnits", 0)
        path.RelativePath.Elements = [step]
        session = self._client.uaclient.session
        results = self._ask("TranslateBrowsePathsToNodeIds", session.translate_browsepaths_to_nodeids([path]))
        self._counted("TranslateBrowsePathsToNodeIds", results, 1)
        if not results[0].StatusCode.is_good() or not results[0].Targets:
            return ""
        (reading,) = self.attributes([results[0].Targets[0].TargetId])
        return str(getattr(getattr(reading.value, "DisplayName", None), "Text", None) or "")

    # -- attributes

    def read(self, points: Iterable[NodePoint]) -> list[Reading]:
        """Values of points, in their order. Raises NoAnswer, Refused (of the whole request), ProductFault."""
        return self.attributes([self.node(point) for point in points])

    def attributes(self, nodes: Sequence[Any], attribute: str | int = "Value") -> list[Reading]:
        """An attribute of nodes; a number stands for one that nobody has. Raises as ``read``."""
        ua, readings = self._ua, []
        for begin in range(0, len(nodes), TOGETHER):
            part = nodes[begin : begin + TOGETHER]
            parameters = ua.ReadParameters()
            parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
            parameters.MaxAge = 0
            for node in part:
                asked = ua.ReadValueId()
                asked.NodeId = node
                asked.AttributeId = attribute if isinstance(attribute, int) else ua.AttributeIds[attribute]
                parameters.NodesToRead.append(asked)
            results = self._ask("Read", self._client.uaclient.session.read(parameters))
            self._counted("Read", results, len(part))
            readings += [self.reading(result) for result in results]
        return readings

    def write(self, node: Any, kind: str, value: Any) -> str:
        """Write the value of a node; the name of the status. Without times and status: few servers take them."""
        ua = self._ua
        variant = ua.Variant(value, ua.VariantType[kind], is_array=isinstance(value, list))
        given = ua.DataValue(variant, StatusCode=None)
        results = self._ask("Write", self._client.uaclient.session.write_attributes([node], [given]))
        self._counted("Write", results, 1)
        return str(results[0].name)

    def reading(self, value: Any) -> Reading:
        """What a DataValue of the library says."""
        variant = value.Value
        kind = "" if variant is None or variant.VariantType.name == "Null" else variant.VariantType.name
        held = variant.Value if variant is not None else None
        return Reading(
            value=held,
            kind=kind,
            array=isinstance(held, list),
            status=str(value.StatusCode.name) if value.StatusCode is not None else "Good",
            source=_in_utc(value.SourceTimestamp),
            server=_in_utc(value.ServerTimestamp),
        )

    def clock(self) -> datetime:
        """CurrentTime of the server, in UTC. Raises as ``read``."""
        (reading,) = self.attributes([self.numeric(CURRENT_TIME)])
        if not reading.good or not isinstance(reading.value, datetime):
            raise Refused(f"{self.owner.name}: CurrentTime", reading.status)
        return _in_utc(reading.value) or reading.value

    # -- browsing

    def children(self, nodes: Sequence[Any]) -> list[tuple[str, list[Any]]]:
        """Of each node the status, and the nodes of this server below it in the hierarchy. Raises as ``read``."""
        ua, answers = self._ua, []
        for begin in range(0, len(nodes), TOGETHER):
            part = nodes[begin : begin + TOGETHER]
            parameters = ua.BrowseParameters()
            parameters.RequestedMaxReferencesPerNode = 0
            for node in part:
                described = ua.BrowseDescription()
                described.NodeId = node
                described.BrowseDirection = ua.BrowseDirection.Forward
                described.ReferenceTypeId = self.numeric(HIERARCHICAL)
                described.IncludeSubtypes = True
                described.NodeClassMask = 0
                described.ResultMask = ua.BrowseResultMask.All
                parameters.NodesToBrowse.append(described)
            results = self._ask("Browse", self._client.uaclient.session.browse(parameters))
            self._counted("Browse", results, len(part))
            answers += [(str(result.StatusCode.name), self._references(result)) for result in results]
        return answers

    def _references(self, result: Any) -> list[Any]:
        """All pages of the references of a node."""
        ua, nodes, pages = self._ua, [], 0
        while True:
            nodes += [each.NodeId for each in result.References or () if not getattr(each.NodeId, "ServerIndex", 0)]
            pages += 1
            if not result.ContinuationPoint or pages >= MOST_PAGES:
                return nodes
            parameters = ua.BrowseNextParameters()
            parameters.ReleaseContinuationPoints = False
            parameters.ContinuationPoints = [result.ContinuationPoint]
            results = self._ask("BrowseNext", self._client.uaclient.session.browse_next(parameters))
            self._counted("BrowseNext", results, 1)
            (result,) = results

    # -- subscriptions and history

    def watch(self, points: Sequence[NodePoint], queue: int = 10) -> Watch:
        """Subscribe to the values of points; those that the server refuses are in ``refused``. Raises as ``read``."""
        watch = Watch(self, points)
        created = self._subscribed(watch.take)
        for begin in range(0, len(points), TOGETHER):
            part = points[begin : begin + TOGETHER]
            statuses = self._items(created, [self.node(point) for point in part], begin, queue)
            refused = {
                p.name: status for p, status in zip(part, statuses, strict=True) if not status.startswith("Good")
            }
            watch.refused |= refused
        return watch

    def monitored(self, node: Any) -> str:
        """The status of a monitored item for a node, in a subscription of its own. Raises as ``read``."""

        async def ignore(_result: Any) -> None:
            return

        (status,) = self._items(self._subscribed(ignore), [node], 0, 1)
        return status

    def _subscribed(self, listener: Callable[[Any], Any]) -> Any:
        parameters = self._ua.CreateSubscriptionParameters()
        parameters.RequestedPublishingInterval = PUBLISHING
        parameters.RequestedLifetimeCount, parameters.RequestedMaxKeepAliveCount = 3000, 20
        parameters.MaxNotificationsPerPublish, parameters.PublishingEnabled = 0, True
        session = self._client.uaclient.session
        return self._ask("CreateSubscription", session.create_subscription(parameters, listener)).SubscriptionId

    def _items(self, subscription: Any, nodes: Sequence[Any], first: int, queue: int) -> list[str]:
        """Monitor values of nodes; ``first``: the handle of the first. Statuses, in their order."""
        ua = self._ua
        asked = ua.CreateMonitoredItemsParameters()
        asked.SubscriptionId = subscription
        asked.TimestampsToReturn = ua.TimestampsToReturn.Both
        for handle, node in enumerate(nodes, first):
            item = ua.MonitoredItemCreateRequest()
            item.ItemToMonitor.NodeId = node
            item.ItemToMonitor.AttributeId = ua.AttributeIds.Value
            item.MonitoringMode = ua.MonitoringMode.Reporting
            item.RequestedParameters.ClientHandle = handle
            item.RequestedParameters.SamplingInterval = PUBLISHING
            item.RequestedParameters.QueueSize, item.RequestedParameters.DiscardOldest = queue, True
            asked.ItemsToCreate.append(item)
        results = self._ask("CreateMonitoredItems", self._client.uaclient.session.create_monitored_items(asked))
        self._counted("CreateMonitoredItems", results, len(nodes))
        return [str(result.StatusCode.name) for result in results]

    def history(self, point: NodePoint, begin: datetime, end: datetime) -> list[Reading]:
        """Raw values of a point between two times, oldest first. Raises as ``read``, and Refused."""
        ua, readings, mark = self._ua, [], None
        details = ua.ReadRawModifiedDetails()
        details.IsReadModified, details.ReturnBounds, details.NumValuesPerNode = False, False, 0
        details.StartTime, details.EndTime = begin, end
        for _ in range(MOST_PAGES):
            asked = ua.HistoryReadValueId()
            asked.NodeId, asked.IndexRange, asked.ContinuationPoint = self.node(point), "", mark
            parameters = ua.HistoryReadParameters()
            parameters.HistoryReadDetails = details
            parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
            parameters.ReleaseContinuationPoints = False
            parameters.NodesToRead.append(asked)
            results = self._ask("HistoryRead", self._client.uaclient.session.history_read(parameters))
            self._counted("HistoryRead", results, 1)
            (result,) = results
            if not result.StatusCode.is_good():
                raise Refused(f"{self.owner.name}: HistoryRead of {point.name}", str(result.StatusCode.name))
            readings += [self.reading(value) for value in getattr(result.HistoryData, "DataValues", None) or ()]
            if not result.ContinuationPoint or result.ContinuationPoint == mark:
                break
            mark = result.ContinuationPoint
        return readings

    # -- the connection

    def close(self) -> None:
        """End the session; what the product says to that counts nowhere."""
        with contextlib.suppress(ProductFault):
            self._ask("CloseSession", self._client.disconnect())

    def _ask(self, what: str, coroutine: Any) -> Any:
        return self.owner.wait(what, coroutine)

    def _counted(self, what: str, results: Sequence[Any] | None, count: int) -> None:
        """Raises ProductFault: an answer has another number of results than was asked for."""
        if results is None or len(results) != count:
            got = len(results or ())
            raise ProductFault(
                f"{self.owner.name}: {what} of {count} nodes gave {got} results",
                f"{self.owner.name}：{what} 请求 {count} 个节点，返回 {got} 个结果",
            )


def _in_utc(time: datetime | None) -> datetime | None:
    """The library gives times without a zone; those of OPC UA are UTC."""
    if time is None:
        return None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
