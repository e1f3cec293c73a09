"""The page of jobs: progress, why one failed, stop, start again."""

import asyncio

from genwright.errors import Invalid
from page_site import PLANTED


async def started(site, kind, function):
    site.house.jobs.handler(kind, function)
    return await site.house.jobs.start(site.scope, kind, {"corpus": PLANTED}, by="key_1")


async def test_nothing_yet_and_unknown_states(site):
    assert "No jobs yet" in await site.get("/jobs")
    assert "No jobs are failed" in await site.get("/jobs", state="failed")
    await site.get("/jobs", 400, state="odd")
    await site.get("/jobs/job_none", 404)


async def test_a_failed_job_says_why_and_can_be_started_again(site):
    tries = []

    async def handler(job):
        tries.append(job.id)
        if len(tries) == 1:
            raise Invalid(f"It broke: {PLANTED}")
        return {"ok": True}

    job = await started(site, "test.fail", handler)
    await site.house.jobs.wait(site.scope, job.id, 20)
    html = await site.get("/jobs", state="failed")
    assert "It broke" in html
    assert f"/jobs/{job.id}/again" in html
    assert "It broke" in await site.get(f"/jobs/{job.id}")
    assert "/again" not in await (await site.as_role("viewer")).get("/jobs")
    await site.post(f"/jobs/{job.id}/again")
    assert (await site.house.jobs.wait(site.scope, job.id, 20)).state == "done"
    assert "hx-trigger" not in await site.get(f"/jobs/{job.id}/row")


async def test_a_running_job_tells_its_progress_and_can_be_stopped(site):
    at_work = asyncio.Event()

    async def handler(job):
        await job.progress(3, 9, "Reading")
        at_work.set()
        await asyncio.sleep(60)
        return {}

    job = await started(site, "test.long", handler)
    await asyncio.wait_for(at_work.wait(), 20)
    html = await site.get("/jobs")
    assert 'hx-trigger="every 2s"' in html
    assert "3 of 9" in html
    assert "Reading" in await site.get(f"/jobs/{job.id}/line")
    answer = await site.post(f"/jobs/{job.id}/cancel")
    assert "cancelled" in answer.text
    assert "/again" in answer.text
