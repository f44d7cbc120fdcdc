"""Apple Push Notification service: reasons, connection, client, credentials."""
