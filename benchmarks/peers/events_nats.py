"""NATS JetStream in memory: asynchronous publishes, fetches of a hundred with one acknowledgement each."""

import asyncio
import json
import sys
import time

import nats
import uvloop
from nats.js.api import AckPolicy, ConsumerConfig, StorageType

URL, COUNT, RATE, TIMED = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
TEXT = "y" * 150


async def main() -> None:
    connection = await nats.connect(URL)
    stream = connection.jetstream(publish_async_max_pending=4000)
    await stream.add_stream(name="events", subjects=["events"], storage=StorageType.MEMORY)
    begin = time.perf_counter()
    for n in range(COUNT):
        await stream.publish_async("events", json.dumps({"n": n, "text": TEXT}).encode())
    await stream.publish_async_completed()
    published = COUNT / (time.perf_counter() - begin)
    pull = await stream.pull_subscribe(
        "events", durable="g", config=ConsumerConfig(ack_policy=AckPolicy.ALL, max_ack_pending=10_000)
    )
    got = 0
    begin = time.perf_counter()
    while got < COUNT:
        batch = await pull.fetch(100, timeout=5)
        for message in batch:
            json.loads(message.data)
            got += 1
        await batch[-1].ack()
    await connection.flush()
    consumed = COUNT / (time.perf_counter() - begin)
    late: list[float] = []
    done = asyncio.Event()

    async def on_event(message: nats.aio.msg.Msg) -> None:
        late.append(time.time() - json.loads(message.data)["t"])
        await message.ack()
        if len(late) == TIMED:
            done.set()

    await stream.add_stream(name="timed", subjects=["timed"], storage=StorageType.MEMORY)
    await stream.subscribe("timed", durable="t", cb=on_event, manual_ack=True)
    begin = time.perf_counter()
    for n in range(TIMED):
        await asyncio.sleep(max(0.0, begin + n / RATE - time.perf_counter()))
        await stream.publish("timed", json.dumps({"t": time.time(), "text": TEXT}).encode())
    await asyncio.wait_for(done.wait(), 30)
    print(json.dumps({"published": published, "consumed": consumed, "late": late}), flush=True)
    await connection.close()


uvloop.run(main())
