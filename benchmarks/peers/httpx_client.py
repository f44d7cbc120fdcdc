"""httpx.AsyncClient, with as many tasks as it uses streams: 100."""

import asyncio
import ssl

import httpx

from benchmarks.peers.job import Job, Stopwatch

TASKS = 100
OK = 200


async def main() -> None:
    job = Job.read()
    headers = {"authorization": job.authorization, "apns-topic": job.topic, "apns-expiration": "1800000000"}
    limits = httpx.Limits(max_connections=1)
    context = ssl.create_default_context(cafile=job.ca)
    async with httpx.AsyncClient(
        http1=False, http2=True, verify=context, base_url=job.url, headers=headers, limits=limits, timeout=60
    ) as client:

        async def push(tokens: list[str]) -> int:
            left = iter(tokens)

            async def task() -> int:
                delivered = 0
                for token in left:
                    answer = await client.post(f"/3/device/{token}", content=b"{}")
                    delivered += answer.status_code == OK
                return delivered

            return sum(await asyncio.gather(*(task() for _ in range(TASKS))))

        await push(job.tokens[:1])
        await push(job.tokens)
        due = job.due()
        watch = Stopwatch()
        watch.report(await push(due))


if __name__ == "__main__":
    asyncio.run(main())
