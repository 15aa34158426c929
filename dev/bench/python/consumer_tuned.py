"""A Python consumer tuned by hand: 500 records a poll, one unordered insert_many, then the commit.

In: KAFKA_BOOTSTRAP_SERVERS, KAFKA_TOPIC, KAFKA_GROUP_ID, MONGODB_URI, MONGODB_DATABASE. Out: the
same documents as ours, under the same ids, until it is stopped. With OVERLAP=1 the next batch is
fetched and decoded while the database writes one in a thread.
"""

import asyncio
import json
import os
from datetime import datetime, timezone

from aiokafka import AIOKafkaConsumer, TopicPartition
from bson import Int64, ObjectId
from pymongo import MongoClient, WriteConcern
from pymongo.errors import BulkWriteError

TOPIC = os.environ["KAFKA_TOPIC"]
OVERLAP = os.environ.get("OVERLAP") == "1"


def document(message, now):
    purchase = json.loads(message.value)
    headers = dict(message.headers)
    return {
        "_id": ObjectId(headers["purchase-id"].decode()),
        "username": purchase["username"],
        "user_id": purchase["user_id"],
        "item_name": purchase["item_name"],
        "price": purchase["price"],
        "timestamp": datetime.fromisoformat(purchase["timestamp"].replace("Z", "+00:00")),
        "created_at": now,
        "origin": {"topic": TOPIC, "partition": message.partition, "offset": Int64(message.offset)},
    }


def store(purchases, documents):
    try:
        purchases.insert_many(documents, ordered=False)
    except BulkWriteError as error:
        if any(one["code"] != 11000 for one in error.details["writeErrors"]):
            raise


async def main():
    database = MongoClient(os.environ["MONGODB_URI"])[os.environ["MONGODB_DATABASE"]]
    purchases = database.get_collection("purchases", write_concern=WriteConcern("majority", j=True))
    consumer = AIOKafkaConsumer(
        TOPIC,
        bootstrap_servers=os.environ["KAFKA_BOOTSTRAP_SERVERS"],
        group_id=os.environ["KAFKA_GROUP_ID"],
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_poll_records=500,
    )
    await consumer.start()
    writing, reached = None, {}

    async def settle():
        nonlocal writing
        if writing:
            await writing
            await consumer.commit(reached)
            writing = None

    try:
        while True:
            polled = await consumer.getmany(timeout_ms=100, max_records=500)
            now = datetime.now(timezone.utc)
            documents = [document(message, now) for messages in polled.values() for message in messages]
            await settle()
            if documents:
                reached = {
                    TopicPartition(at.topic, at.partition): messages[-1].offset + 1
                    for at, messages in polled.items()
                }
                writing = asyncio.create_task(asyncio.to_thread(store, purchases, documents))
                if not OVERLAP:
                    await settle()
    finally:
        await consumer.stop()


asyncio.run(main())
