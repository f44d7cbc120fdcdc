"""Routes of the API that phones and links call, as the app declares them."""

DEVICE = "/v1/devices/{device_library_identifier}/registrations/{pass_type_identifier}"
REGISTRATION = DEVICE + "/{serial_number}"
PASS = "/v1/passes/{pass_type_identifier}/{serial_number}"
LINK = "/p/{token}"
