"""The customer-facing service as first designed: FastAPI, and aiokafka's send_and_wait a request.

In: KAFKA_BOOTSTRAP_SERVERS and KAFKA_TOPIC. Out: POST /buy. Given the same durability as ours
(acks from all in-sync replicas, idempotent), and uvicorn its fastest parts (uvloop, httptools).
"""

import json
import os
import random
from contextlib import asynccontextmanager
from datetime import datetime, timezone

from aiokafka import AIOKafkaProducer
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field

TOPIC = os.environ["KAFKA_TOPIC"]
ITEMS = [
    ("Laptop", 999.99),
    ("Smartphone", 699.99),
    ("Headphones", 149.99),
    ("Keyboard", 79.99),
    ("Mouse", 29.99),
    ("Monitor", 299.99),
    ("Webcam", 89.99),
    ("Desk Lamp", 39.99),
    ("Backpack", 59.99),
    ("Coffee Mug", 12.99),
    ("Notebook", 4.99),
    ("Water Bottle", 19.99),
    ("Office Chair", 249.99),
    ("USB Cable", 9.99),
    ("Tablet", 449.99),
]


class BuyRequest(BaseModel):
    username: str = Field(min_length=1, max_length=100)
    user_id: str = Field(min_length=1, max_length=100)


@asynccontextmanager
async def lifespan(app: FastAPI):
    app.state.producer = AIOKafkaProducer(
        bootstrap_servers=os.environ["KAFKA_BOOTSTRAP_SERVERS"],
        value_serializer=lambda value: json.dumps(value).encode(),
        key_serializer=lambda key: key.encode(),
        acks="all",
        enable_idempotence=True,
    )
    await app.state.producer.start()
    yield
    await app.state.producer.stop()


app = FastAPI(lifespan=lifespan)


@app.post("/buy", status_code=201)
async def buy(request: BuyRequest):
    item_name, price = random.choice(ITEMS)
    purchase = {
        "username": request.username,
        "user_id": request.user_id,
        "item_name": item_name,
        "price": price,
        "timestamp": datetime.now(timezone.utc).isoformat(),
    }
    try:
        stored = await app.state.producer.send_and_wait(TOPIC, value=purchase, key=request.user_id)
    except Exception as error:
        raise HTTPException(status_code=503, detail=str(error)) from error
    return {
        "success": True,
        "message": "Purchase sent",
        "purchase": purchase,
        "kafka_partition": stored.partition,
        "kafka_offset": stored.offset,
    }
