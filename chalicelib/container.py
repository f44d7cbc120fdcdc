"""Builds the services of an execution environment at their first use: connections, keys, parsed templates.

This is the only state of the process. It lives as long as the execution environment, unless a member says otherwise.
"""

import os
import time
from functools import cached_property
from typing import TYPE_CHECKING

from chalicelib.settings import Settings
from chalicelib.telemetry import log

if TYPE_CHECKING:
    from collections.abc import Callable

    from chalicelib.apns.client import Client
    from chalicelib.aws.images import Images
    from chalicelib.aws.queue import Queue
    from chalicelib.aws.secrets import PassTypeSecret, ProviderKey, Secrets
    from chalicelib.aws.tables import Store
    from chalicelib.aws.templates import Templates
    from chalicelib.core.authentication import AuthenticationKeys
    from chalicelib.flows.change import ChangeHandler
    from chalicelib.flows.check_certificates import CertificateExpiry
    from chalicelib.flows.deliver_events import EventDelivery
    from chalicelib.flows.download import Downloader
    from chalicelib.flows.failed_downloads import FailedDownloads
    from chalicelib.flows.listing import Lister
    from chalicelib.flows.open_link import LinkOpener
    from chalicelib.flows.personalize import Personalizer
    from chalicelib.flows.publish_events import EventPublisher
    from chalicelib.flows.publish_pass_events import PassEventPublisher
    from chalicelib.flows.push_worker import PushWorker
    from chalicelib.flows.recent_versions import RecentVersions
    from chalicelib.flows.recheck import Rechecker
    from chalicelib.flows.register import Registrar
    from chalicelib.flows.send_pushes import PushSender
    from chalicelib.passes.builder import PassBuilder
    from chalicelib.passes.signing import Signer
    from chalicelib.telemetry.metrics import Metrics
    from chalicelib.updates.events import Event


CHANGE_THREADS = "change"
"""Prefix of the names of the threads that settle changes."""


class Services:
    """The collaborators of the flows. A function makes and imports only those that it uses, for short cold starts."""

    def __init__(self) -> None:
        self._signers: dict[str, tuple[PassTypeSecret, Signer]] = {}
        self._clients: dict[PassTypeSecret | ProviderKey, Client] = {}
        self._identities: dict[str, PassTypeSecret | ProviderKey] = {}

    @cached_property
    def settings(self) -> Settings:
        """Settings from the environment variables."""
        settings = Settings.from_environment(os.environ)
        log.set_hash_key(settings.log_key)
        return settings

    @cached_property
    def store(self) -> "Store":
        from chalicelib.aws.tables import Store

        return Store.connect(self.settings)

    @cached_property
    def metrics(self) -> "Metrics":
        from chalicelib.telemetry.metrics import Metrics

        return Metrics(self.settings.stage)

    @cached_property
    def queue(self) -> "Queue":
        from chalicelib.aws.queue import Queue

        return Queue(
            push_queue_url=self.settings.push_queue_url,
            dead_letter_queue_url=self.settings.dead_letter_queue_url,
            held_removals_queue_url=self.settings.held_removals_queue_url,
            event_failure_queue_url=self.settings.event_failure_queue_url,
        )

    @cached_property
    def secrets(self) -> "Secrets":
        """Secrets, read again every few minutes, so that a rotated certificate or a new key needs no deploy."""
        from chalicelib.aws.secrets import Secrets

        return Secrets(stage=self.settings.stage)

    @property
    def authentication_keys(self) -> "AuthenticationKeys":
        return self.secrets.authentication_keys()

    @property
    def registrar(self) -> "Registrar":
        from chalicelib.flows.register import Registrar

        return Registrar(self.store, self.authentication_keys, self.queue)

    @property
    def lister(self) -> "Lister":
        from chalicelib.flows.listing import Lister

        return Lister(self.store, window_seconds=self.settings.window_seconds, recent=self.recent)

    @property
    def downloader(self) -> "Downloader":
        from chalicelib.flows.download import Downloader

        return Downloader(
            self.store,
            self.authentication_keys,
            self.builder,
            self.failed_downloads,
            window_seconds=self.settings.window_seconds,
            recent=self.recent,
            publish=self.download_publisher,
        )

    @cached_property
    def recent(self) -> "RecentVersions":
        """Answers that list calls and downloads of this environment have in common for a moment."""
        from chalicelib.flows.recent_versions import RecentVersions

        return RecentVersions()

    @cached_property
    def download_publisher(self) -> "Callable[[Event], object] | None":
        """Sends the event of a download, within a second or not at all; None if downloads are not events."""
        if not self.settings.download_events:
            return None
        from chalicelib.aws.event_bus import EventBus
        from chalicelib.aws.session import impatient_client

        bus = EventBus(self.settings.event_bus, client=impatient_client("events"))
        return lambda event: bus.put([event])

    @property
    def link_opener(self) -> "LinkOpener":
        from chalicelib.flows.open_link import LinkOpener

        return LinkOpener(
            self.store,
            self.authentication_keys,
            self.builder,
            self.failed_downloads,
            window_seconds=self.settings.window_seconds,
        )

    @cached_property
    def failed_downloads(self) -> "FailedDownloads":
        """Handler of failed downloads, which remembers the rechecks that it requested."""
        from chalicelib.flows.failed_downloads import FailedDownloads

        return FailedDownloads(self.store, lambda: self.queue, self.builder, clock=time.time)

    @property
    def personalizer(self) -> "Personalizer":
        from chalicelib.flows.personalize import Personalizer

        return Personalizer(
            self.store,
            self.authentication_keys,
            self.builder,
            authorization=self.settings.personalize_authorization,
            metrics=self.metrics,
        )

    @cached_property
    def builder(self) -> "PassBuilder":
        from chalicelib.passes.builder import PassBuilder

        return PassBuilder(
            templates=self.templates,
            signer_for=self.signer_for,
            images=self.images,
            on_invalid=lambda item, error: log.event("pass_against_format", pass_id=item.pass_id, error=str(error)),
        )

    @cached_property
    def templates(self) -> "Templates":
        """Templates, parsed at their first use; a newer revision in the bucket is used within seconds."""
        from chalicelib.aws.templates import Templates

        return Templates(bucket=self.settings.templates_bucket)

    @cached_property
    def images(self) -> "Images":
        """Images of single passes, cached; never stale, because a key is the hash of its content."""
        from chalicelib.aws.images import Images

        return Images(bucket=self.settings.templates_bucket)

    def signer_for(self, pass_type_identifier: str) -> "Signer":
        """Return the signer of a pass type. Its key is parsed once and cached until the secret changes.

        All signers come from here, so this is where the certificate is checked to be of the pass type.

        Raises:
            ConfigurationError: the secret is missing, its key does not belong to its certificate, or the certificate
                is of another pass type.
            SecretsError: Secrets Manager did not answer.
        """
        from chalicelib.passes.signing import Signer

        secret = self.secrets.pass_type(pass_type_identifier)
        cached = self._signers.get(pass_type_identifier)
        if cached is not None and cached[0] == secret:
            return cached[1]
        signer = Signer.from_pem(
            certificate=secret.certificate, private_key=secret.private_key, intermediate=secret.intermediate
        )
        signer.validate_pass_type(pass_type_identifier)
        self._signers[pass_type_identifier] = (secret, signer)
        return signer

    def client_for(self, pass_type_identifier: str) -> "Client":
        """Return the APNs client of a pass type. Clients are cached by credential until the credential is replaced.

        Raises:
            ConfigurationError: the secret is missing, or not a valid credential.
            SecretsError: Secrets Manager did not answer.
        """
        secret = self.secrets.pass_type_with_apns(pass_type_identifier)
        identity = secret.apns or secret
        if identity not in self._clients:
            self._clients[identity] = push_client(secret, self.settings)
        self._identities[pass_type_identifier] = identity
        for replaced in self._clients.keys() - set(self._identities.values()):
            self._clients.pop(replaced).close()
        return self._clients[identity]

    @property
    def certificate_expiry(self) -> "CertificateExpiry":
        from chalicelib.flows.check_certificates import CertificateExpiry

        return CertificateExpiry(self.secrets, self.metrics, self.signer_for, note=self.store.versions.note_event)

    @cached_property
    def push_sender(self) -> "PushSender":
        from chalicelib.flows.pace import Pacer
        from chalicelib.flows.send_pushes import PushSender
        from chalicelib.updates.pacing import PushRate

        return PushSender(
            store=self.store,
            pacer=Pacer(self.store, PushRate(self.settings.push_rate_limit)),
            metrics=self.metrics,
            client_for=self.client_for,
            clock=time.time,
            hold=self.queue.hold,
        )

    @cached_property
    def changes(self) -> "ChangeHandler":
        from concurrent.futures import ThreadPoolExecutor

        from chalicelib.aws.session import MAX_CONNECTIONS
        from chalicelib.flows.change import ChangeHandler

        executor = ThreadPoolExecutor(MAX_CONNECTIONS, thread_name_prefix=CHANGE_THREADS)
        return ChangeHandler(
            store=self.store,
            queue=self.queue,
            push_sender=self.push_sender,
            metrics=self.metrics,
            templates=self.templates,
            clock=time.time,
            deletion_grace_seconds=self.settings.deletion_grace_minutes * 60,
            images=self.images,
            overlap=executor.map,
        )

    @cached_property
    def push_worker(self) -> "PushWorker":
        from chalicelib.flows.push_worker import PushWorker

        return PushWorker(
            store=self.store, queue=self.queue, push_sender=self.push_sender, rechecker=lambda: self.rechecker
        )

    @cached_property
    def event_publisher(self) -> "EventPublisher":
        from chalicelib.flows.publish_events import EventPublisher

        return EventPublisher(self.store, self.event_delivery, self.metrics, clock=time.time)

    @cached_property
    def pass_event_publisher(self) -> "PassEventPublisher":
        from chalicelib.flows.publish_pass_events import PassEventPublisher

        return PassEventPublisher(self.store, self.event_delivery, self.metrics)

    @cached_property
    def event_delivery(self) -> "EventDelivery":
        from chalicelib.aws.event_bus import EventBus
        from chalicelib.flows.deliver_events import EventDelivery

        return EventDelivery(EventBus(self.settings.event_bus), self.queue, clock=time.time)

    @cached_property
    def rechecker(self) -> "Rechecker":
        """Rechecker, made at the first recheck, because other push tasks do not build passes."""
        from chalicelib.flows.recheck import Rechecker

        return Rechecker(
            store=self.store,
            queue=self.queue,
            metrics=self.metrics,
            builder=self.builder,
            clock=time.time,
            max_stamp_seconds=self.settings.push_timeout_seconds,
            deletion_grace_seconds=self.settings.deletion_grace_minutes * 60,
        )


def push_client(secret: "PassTypeSecret", settings: Settings) -> "Client":
    """Make the APNs client of a pass type: with its team's provider key if there is one, else with its certificate.

    Raises:
        ConfigurationError: the secret is not a valid credential.
    """
    from chalicelib.apns.client import Client
    from chalicelib.apns.credentials import ClientCertificate, Credential, ProviderToken

    credential: Credential
    if secret.apns is not None:
        credential = ProviderToken(
            team_identifier=secret.apns.team_identifier,
            key_id=secret.apns.key_id,
            private_key=secret.apns.private_key,
        )
    else:
        credential = ClientCertificate(certificate=secret.certificate, private_key=secret.private_key)
    return Client(url=settings.apns_url, credential=credential, ca=settings.apns_ca, push_type=settings.apns_push_type)
