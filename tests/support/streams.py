"""Reads the stream of a stage's passes table."""

import boto3

from infra.local.run import LocalRun


def newest_record(stack: LocalRun) -> dict[str, object]:
    """Return the position of the newest record, in the form in which Lambda reports a given-up batch."""
    streams = boto3.client("dynamodbstreams")
    arn = boto3.client("dynamodb").describe_table(TableName=stack.tables["passes"])["Table"]["LatestStreamArn"]
    shards = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    found: list[tuple[int, str, str]] = []
    for shard in shards:
        iterator = streams.get_shard_iterator(
            StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        while iterator and (page := streams.get_records(ShardIterator=iterator))["Records"]:
            numbers = [record["dynamodb"]["SequenceNumber"] for record in page["Records"]]
            found += [(int(number), number, shard["ShardId"]) for number in numbers]
            iterator = page.get("NextShardIterator")
    _, number, shard_id = max(found)
    return {"streamArn": arn, "shardId": shard_id, "startSequenceNumber": number, "endSequenceNumber": number}
