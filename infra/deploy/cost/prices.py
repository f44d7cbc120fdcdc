"""AWS's public list prices in US dollars; other regions differ by up to 20 %.

Sources: the pages "Pricing" of each service, and AWS's price list of DynamoDB published on 2026-09-11. Discounts by
volume and free tiers are left out.
"""

REGION = "us-east-1"
READ_ON = "2026-09"

MILLION = 1e6
PER_WRITE_UNIT = 0.625 / MILLION
PER_READ_UNIT = 0.125 / MILLION
PER_STORED_GB = 0.25
PER_RECOVERABLE_GB = 0.20
"""Point-in-time recovery."""
PER_API_CALL = 3.50 / MILLION
PER_INVOCATION = 0.20 / MILLION
PER_GB_SECOND = 0.0000166667
PER_QUEUE_REQUEST = 0.40 / MILLION
PER_GROUPED_QUEUE_REQUEST = 0.50 / MILLION
"""A message with a group: the price of a request and the surcharge of fair queues."""
PER_EVENT = 1.00 / MILLION
"""A custom event of up to 64 KB; deliveries to AWS targets of the same account are free."""
PER_OBJECT_READ = 0.40 / MILLION
PER_SECRET_READ = 5.00 / MILLION
PER_LOGGED_GB = 0.50
PER_METRIC = 0.30
PER_ALARM = 0.10
PER_DASHBOARD = 3.00
PER_SECRET = 0.40
PER_GB_OUT = 0.09
