"""DynamoDB through pynamodb: each function is one request, so that what it costs is seen where it is called."""
