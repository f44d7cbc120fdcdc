"""Descriptions of the template's parameters: shown by CloudFormation, and in the documentation's settings page."""

from collections.abc import Mapping

DESCRIPTIONS: Mapping[str, str] = {
    "Stage": "Name of the stage, at most 24 lower-case letters, digits and hyphens; part of every resource's name.",
    "Commit": "Commit of the deployed checkout, with -dirty for uncommitted changes.",
    "ApnsUrl": "URL of APNs. Only the local run sets it to something other than Apple's production host.",
    "ApnsCa": "PEM certificate of one more root to trust for APNs. Only the local run sets it.",
    "ApnsPushType": "Value of the apns-push-type header. Empty omits the header, as most pass servers do.",
    "WebServiceUrl": "URL to write into passes, if phones use neither the URL of API Gateway nor DomainName.",
    "DomainName": "Domain name of the API; requires CertificateArn.",
    "CertificateArn": "ARN of the domain's certificate in ACM, in the region of the stage.",
    "HostedZoneId": "Route 53 hosted zone in which to create the domain's record. Empty creates no record.",
    "ThrottleRate": "Requests per second that API Gateway lets through; it answers the rest with 429.",
    "PushRateLimit": "Devices notified per second, at most half of ThrottleRate; empty for a third of ThrottleRate.",
    "ThrottleBurst": "Requests that API Gateway lets through at once.",
    "PathParameters": "Whether the gateway passes path parameters percent-encoded (AWS) or decoded (the local run).",
    "PersonalizeAuthorization": "Whether signing up requires the pass's Authorization header; Apple documents none.",
    "PersonalizeThrottleRate": "Requests per second that API Gateway lets through for signing up with passes.",
    "PersonalizeThrottleBurst": "Requests for signing up with passes that API Gateway lets through at once.",
    "LogThrottleRate": "Requests per second that API Gateway lets through for log messages of devices.",
    "LogThrottleBurst": "Requests for log messages of devices that API Gateway lets through at once.",
    "DeletionGraceMinutes": "Minutes for which the registrations of a deleted pass are kept.",
    "PushReservedConcurrency": "Reserved concurrency of the push function; 0 reserves none.",
    "PushWorkerReservedConcurrency": "Reserved concurrency of the push worker; 0 reserves none.",
    "RateLimitPerIp": "Requests of one IP address per five minutes, enforced by AWS WAF; 0 creates no web ACL.",
    "TablesKeyArn": "ARN of your own KMS key, which encrypts the tables; empty for DynamoDB's own key.",
    "DownloadEvents": "Whether each download of a pass by a device is an event (`pass.downloaded`).",
    "Tracing": "Whether AWS X-Ray traces the API and the functions.",
    "RunbookUrl": "URL of the runbook page that alarm texts link to; the alarm's name in lower case is the anchor.",
}
"""By parameter name. `docs/reference/settings.md` is generated from it."""
