"""FastStream on Redis streams: a pipeline of a hundred to publish, batches of a hundred to a group's subscriber."""

import asyncio
import json
import logging
import sys
import time

import uvloop
from faststream.redis import RedisBroker, StreamSub
from redis.asyncio import Redis

URL, COUNT, RATE, TIMED = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
TEXT = "y" * 150
logging.disable(logging.CRITICAL)


async def main() -> None:
    broker = RedisBroker(URL, logger=None)
    got, target, done, late = 0, COUNT, asyncio.Event(), []

    @broker.subscriber(stream=StreamSub("events", group="g", consumer="c", batch=True, max_records=100))
    async def on_events(events: list[dict]) -> None:
        nonlocal got
        now = time.time()
        for event in events:
            got += 1
            if "t" in event:
                late.append(now - event["t"])
        if got >= target:
            done.set()

    await broker.connect()
    redis = Redis.from_url(URL)
    begin = time.perf_counter()
    for first in range(0, COUNT, 100):
        async with redis.pipeline(transaction=False) as pipe:
            for n in range(first, first + 100):
                await broker.publish({"n": n, "text": TEXT}, stream="events", pipeline=pipe)
            await pipe.execute()
    published = COUNT / (time.perf_counter() - begin)
    await redis.xgroup_create("events", "g", id="0")
    begin = time.perf_counter()
    await broker.start()
    await asyncio.wait_for(done.wait(), 60)
    consumed = COUNT / (time.perf_counter() - begin)
    got, target = 0, TIMED
    done.clear()
    begin = time.perf_counter()
    for n in range(TIMED):
        await asyncio.sleep(max(0.0, begin + n / RATE - time.perf_counter()))
        await broker.publish({"t": time.time(), "text": TEXT}, stream="events")
    await asyncio.wait_for(done.wait(), 30)
    print(json.dumps({"published": published, "consumed": consumed, "late": late}), flush=True)
    await broker.stop()
    await redis.aclose()


uvloop.run(main())
