"""The participants of a schedule: activities, phones, messages, and the tags that were handed out."""

from collections.abc import Callable
from dataclasses import dataclass, field

from greenlet import greenlet

from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId, PushToken
from chalicelib.flows.download import Downloader
from chalicelib.flows.listing import Lister

UNKNOWN = PushToken("unknown")


class Crash(BaseException):
    """Ends an actor: an invocation was killed or a connection was cut."""


@dataclass(eq=False)
class Actor:
    """An activity that runs concurrently with others."""

    name: str
    body: Callable[[], None]
    ended: Callable[[bool], None]
    dies_at: float
    skew: float
    wakes_at: float = 0.0
    """The time until which it waits inside its invocation."""
    parts: "list[Actor]" = field(default_factory=list)
    """The threads of an invocation, which end with it."""
    environment: "Environment | None" = None
    """The execution environment of an API call."""
    greenlet: "greenlet" = field(init=False)

    def __post_init__(self) -> None:
        self.greenlet = greenlet(self.body)


@dataclass(eq=False)
class Environment:
    """An execution environment of the API, which answers one call at a time and keeps versions for a moment.

    Args:
        lister: answers list calls.
        downloader: answers downloads.
        freezes: whether Lambda freezes it while it is idle; otherwise its wall clock is set.
        skew: seconds by which its wall clock is ahead.
        stopped: seconds for which its monotonic clock stood still, because Lambda froze it between calls.
        busy: whether it is answering a call.
        idle_since: when its last call ended.
    """

    lister: Lister
    downloader: Downloader
    freezes: bool
    skew: float = 0.0
    stopped: float = 0.0
    busy: bool = False
    idle_since: float = 0.0


@dataclass(eq=False)
class Phone:
    """A device that follows Apple's protocol, and its state."""

    identifier: DeviceLibraryIdentifier
    push_token: PushToken
    content: dict[PassId, int] = field(default_factory=dict)
    last_modified: dict[PassId, str] = field(default_factory=dict)
    wanted: set[PassId] = field(default_factory=set)
    """The passes that it has and wants to be registered for."""
    registered_tokens: dict[PassId, PushToken | None] = field(default_factory=dict)
    """The last acknowledged state by pass: the registered push token, or None if unregistered. It is UNKNOWN during a
    call and after one that was cut off."""
    registers_from: dict[PassId, int] = field(default_factory=dict)
    """The step before which it does nothing, since a phone may be offline for long."""
    calling: set[PassId] = field(default_factory=set)
    tag: str | None = None
    to_fetch: set[PassId] = field(default_factory=set)
    push_received: bool = False
    asleep: bool = False
    """True while it leaves the push for later."""
    asking: bool = False


@dataclass(frozen=True)
class HandedOut:
    """A tag, and the number of writes before the answer of its list call began."""

    phone: Phone
    tag: str
    writes: int


@dataclass
class Message:
    identifier: str
    body: str
    visible_from: float
    received: int = 0
    taken: bool = False
