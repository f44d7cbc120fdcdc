"""The variables without which a function does not start."""

COMPLETE = {
    "PASSWIRE_STAGE": "test",
    "PASSWIRE_PASSES_TABLE": "passes",
    "PASSWIRE_VERSIONS_TABLE": "versions",
    "PASSWIRE_REGISTRATIONS_TABLE": "registrations",
    "PASSWIRE_DEVICES_TABLE": "devices",
    "PASSWIRE_PUSH_QUEUE_URL": "https://queue",
    "PASSWIRE_DEAD_LETTER_QUEUE_URL": "https://dead-letters",
}
