"""Headless Chromium for the tests of pages; a plugin of conftest.py."""

import shutil

import pytest


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium."""
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("needs the browser Chromium, which is not here (Debian: apt-get install chromium)")
    options = ["no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking"]
    options += ["disable-component-update", "disable-sync"]
    options += ["use-fake-device-for-media-stream", "use-fake-ui-for-media-stream"]  # a microphone that beeps
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=[f"--{option}" for option in options])
        yield browser
        browser.close()
