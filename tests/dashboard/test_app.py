"""The dashboard as a whole: who gets where, and what every answer carries."""

from __future__ import annotations

from tests.dashboard.conftest import Browser


async def test_an_admin_logs_in_sees_the_jobs_and_starts_one(admin: Browser) -> None:
    page = await admin.client.get("/")
    assert page.status == 200
    assert "shop" in await page.text()
    started = await admin.post("/api/v1/jobs/shop/start")
    assert started.status == 201, await started.text()
    run = await started.json()
    assert (run["job"], run["state"], run["by"]) == ("shop", "queued", "admin")
    again = await admin.post("/api/v1/jobs/shop/start")
    assert again.status == 400
    assert "not over" in (await again.json())["error"]
