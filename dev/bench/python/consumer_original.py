"""The management service's consumer as first designed: one insert and one commit a message.

In: KAFKA_BOOTSTRAP_SERVERS, KAFKA_TOPIC, KAFKA_GROUP_ID, MONGODB_URI, MONGODB_DATABASE. Out:
documents, until it is stopped. Only their ids are not as first designed: they are the records'
own, so that the bench can look for them.
"""

import asyncio
import json
import os
from datetime import datetime, timezone

from aiokafka import AIOKafkaConsumer
from bson import ObjectId
from pymongo import MongoClient, WriteConcern


async def main():
    database = MongoClient(os.environ["MONGODB_URI"])[os.environ["MONGODB_DATABASE"]]
    purchases = database.get_collection("purchases", write_concern=WriteConcern("majority", j=True))
    consumer = AIOKafkaConsumer(
        os.environ["KAFKA_TOPIC"],
        bootstrap_servers=os.environ["KAFKA_BOOTSTRAP_SERVERS"],
        group_id=os.environ["KAFKA_GROUP_ID"],
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        async for message in consumer:
            purchase = json.loads(message.value)
            purchase["_id"] = ObjectId(dict(message.headers)["purchase-id"].decode())
            purchase["timestamp"] = datetime.fromisoformat(purchase["timestamp"].replace("Z", "+00:00"))
            purchase["created_at"] = datetime.now(timezone.utc)
            purchases.insert_one(purchase)
            await consumer.commit()
    finally:
        await consumer.stop()


asyncio.run(main())
