"""The other AWS services that the functions use: DynamoDB, SQS, Secrets Manager, S3."""
