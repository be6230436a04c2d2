"""The pages of access in a real browser: signing in, the first user, a token that is shown once, and a phone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from setpoint.app import App
from tests.web.conftest import Running

pytestmark = pytest.mark.timeout(180)

PASSWORD = "three small words"
WITHIN_MS = 60_000


@pytest.fixture
def url(parts: App, serve: Callable[..., Running], page: Page) -> str:
    page.set_default_timeout(WITHIN_MS)
    expect.set_options(timeout=WITHIN_MS)
    return serve(parts).url


def sign_in(page: Page, name: str, password: str = PASSWORD) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").first.click()


def test_from_an_open_server_to_users_of_different_roles(page: Page, url: str, parts: App) -> None:
    page.goto(f"{url}/users")
    expect(page.get_by_role("heading", name="The first user")).to_be_visible()
    page.get_by_label("Name", exact=True).fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Add the user").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()

    sign_in(page, "ada", "not the password")
    expect(page.get_by_role("alert")).to_contain_text("do not go together")
    sign_in(page, "ada")
    expect(page.locator("nav.rail footer")).to_contain_text("ada")

    page.goto(f"{url}/tokens")
    page.get_by_label("Name", exact=True).fill("collector-eu")
    page.get_by_role("button", name="Make the token").click()
    shown = page.locator("section.made code").first
    expect(shown).to_contain_text("sp_")
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    parts.timeline.append("deploy", "the page hears of it and must not draw itself anew")
    page.wait_for_timeout(3000)
    expect(shown).to_contain_text("sp_")
    page.goto(f"{url}/tokens")
    expect(page.locator("section.made")).to_have_count(0)

    parts.accounts.add_user("ada", "vera", "viewer", PASSWORD)
    page.get_by_role("button", name="Log out").click()
    sign_in(page, "vera")
    page.goto(f"{url}/account")
    tabs = page.get_by_role("navigation", name="Access")
    expect(tabs).to_contain_text("Audit")
    expect(tabs).not_to_contain_text("Users")
    page.goto(f"{url}/users")
    expect(page.locator("body")).to_contain_text("An admin (ada) can change that")


def test_a_page_that_is_open_ends_with_its_session(page: Page, url: str, parts: App) -> None:
    parts.accounts.add_user("test", "ada", "admin", PASSWORD)
    parts.accounts.add_user("test", "vera", "viewer", PASSWORD)
    page.goto(f"{url}/timeline")
    sign_in(page, "vera")
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    parts.accounts.remove_user("ada", "vera")
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def test_nothing_is_wider_than_a_phone(page: Page, url: str, parts: App) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    parts.accounts.add_user("test", "a" * 63, "admin", PASSWORD, display_name="B" * 120, email="c" * 180)
    parts.accounts.add_token("a" * 63, "t" * 63, "sender")
    page.goto(f"{url}/users")
    sign_in(page, "a" * 63)
    for path in ("/users", "/tokens", "/account", "/audit"):
        page.goto(url + path)
        for closed in page.locator("td summary").all()[:3]:
            closed.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
