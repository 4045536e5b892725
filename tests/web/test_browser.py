"""Each tab once in a real browser, the system's Chromium, with recordings chosen, dropped and recorded."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from speecht5_fairseq.interface import Segment, Transcript

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
if BROWSER is None:
    pytest.skip("no Chromium to open the page with: apt-get install chromium (Debian)", allow_module_level=True)
sync_api = pytest.importorskip(
    "playwright.sync_api", reason="no playwright to drive the browser: pip install -c constraints.txt playwright"
)


@pytest.fixture(scope="module")
def browser(folder) -> Iterator:
    """A browser whose microphone plays 1.wav and that knows no other machine."""
    flags = [
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={folder / '1.wav'}",
        "--no-proxy-server",
        "--disable-gpu",
        "--disable-dev-shm-usage",  # containers have little of it, and pages crash
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ]
    sync_api.expect.set_options(timeout=20_000)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=flags, chromium_sandbox=False)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, server) -> Iterator:
    """The page; whatever it asks of elsewhere, and every error of its script, fails the test."""
    context = browser.new_context(viewport={"width": 900, "height": 700}, permissions=["microphone"])
    page = context.new_page()
    page.set_default_timeout(20_000)
    elsewhere, errors = [], []
    own = (server.address, "blob:")
    page.on("request", lambda request: request.url.startswith(own) or elsewhere.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(server.address)
    yield page
    context.close()
    assert not elsewhere and not errors


def opened(page, tab: str):
    """The panel of a tab, which is in front now."""
    page.get_by_role("tab", name=tab, exact=True).click()
    panel = page.get_by_role("tabpanel", name=tab, exact=True)
    sync_api.expect(page.get_by_role("tabpanel")).to_have_count(1)  # the others are hidden
    return panel


def choose(panel, file: Path, number: int = 0) -> None:
    panel.locator("input[type=file]").nth(number).set_input_files(file)


def go(panel):
    """Start it; the result, once it is there."""
    panel.locator("button.go").click()
    result = panel.locator(".result")
    result.wait_for()
    return result


def picture(page, tmp_path: Path) -> None:
    """A picture of the tab, which is more than an empty page."""
    file = tmp_path / "tab.png"
    page.screenshot(path=file, full_page=True)
    assert file.stat().st_size > 5000


def test_recognise_a_file(page, site, folder, tmp_path):
    panel = opened(page, "Recognise")
    choose(panel, folder / "0.wav")
    result = go(panel)
    expected = site.tabs["recognise"].served.model.transcribe(folder / "0.wav")
    assert result.locator(".said").text_content() == (expected.text or "(nothing was recognised)")
    assert f"{expected.score:.2f}" in result.text_content()
    picture(page, tmp_path)


def test_recognise_a_file_in_which_no_text_is_possible(page, site, folder, monkeypatch):
    nothing = Transcript("", [Segment(0.0, 9000 / 16000, "", float("-inf"), 1)])
    monkeypatch.setattr(site.tabs["recognise"].served.model, "transcribe", lambda *args, **options: nothing)
    panel = opened(page, "Recognise")
    choose(panel, folder / "0.wav")
    assert "No text was possible" in go(panel).text_content()


def test_recognise_the_microphone(page, site, monkeypatch):
    model, heard = site.tabs["recognise"].served.model, []
    computed = model.transcribe
    monkeypatch.setattr(model, "transcribe", lambda wave, **options: heard.append(wave) or computed(wave, **options))
    panel = opened(page, "Recognise")
    panel.get_by_role("button", name="Record").click()
    sync_api.expect(panel.locator(".chosen")).to_have_text(re.compile(r"^\d\.\d s$"))
    page.wait_for_timeout(700)  # ms of sound
    panel.get_by_role("button", name="Stop").click()
    sync_api.expect(panel.locator(".chosen")).to_have_text("microphone.wav")
    go(panel)
    (wave,) = heard
    assert 0.3 < len(wave) / 16_000 < 8
    assert float(wave.abs().max()) > 0.01  # the microphone's recording, not silence


def test_say(page, tmp_path):
    panel = opened(page, "Say")
    panel.locator("textarea").fill("AB7")
    panel.locator("select").select_option("ben")
    result = go(panel)
    page.wait_for_function("document.querySelector('.result:not([hidden]) audio').duration > 0")
    assert "unknown symbols: '7'" in result.text_content() and result.locator("canvas.mel").is_visible()
    with page.expect_download() as download:
        result.get_by_text("Save as WAV").click()
    assert download.value.suggested_filename == "say.wav" and Path(download.value.path()).read_bytes()[:4] == b"RIFF"
    picture(page, tmp_path)


def test_convert_to_the_voice_of_a_recording(page, folder, tmp_path):
    panel = opened(page, "Convert")
    choose(panel, folder / "0.wav")
    panel.locator("select").select_option(label="of a recording")
    panel.locator("button.go").click()
    assert panel.locator(".error").text_content().startswith("No recording of the voice")
    choose(panel, folder / "1.wav", number=1)
    go(panel)
    picture(page, tmp_path)


def test_enhance(page, folder, tmp_path):
    panel = opened(page, "Enhance")
    choose(panel, folder / "1.wav")
    assert "0.88 s" in go(panel).text_content()  # as long as the recording
    picture(page, tmp_path)


def test_identify_a_file_that_is_dropped(page, site, folder, tmp_path):
    panel = opened(page, "Identify")
    data = page.evaluate_handle(
        """(bytes) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "dropped.wav"));
            return data;
        }""",
        list((folder / "1.wav").read_bytes()),
    )
    panel.locator("fieldset").dispatch_event("drop", {"dataTransfer": data})
    sync_api.expect(panel.locator(".chosen")).to_have_text("dropped.wav")
    found = go(panel).locator("td:first-child").all_text_contents()
    assert found == list(site.tabs["identify"].served.model.identify(folder / "1.wav").classes)
    picture(page, tmp_path)


def test_errors_are_words_on_the_page(page, tmp_path):
    panel = opened(page, "Recognise")
    panel.locator("button.go").click()
    assert panel.locator(".error").text_content() == "No recording: choose a file, or record one."
    broken = tmp_path / "<b>broken.wav"
    broken.write_bytes(b"no sound at all")
    choose(panel, broken)
    panel.locator("button.go").click()
    sync_api.expect(panel.locator(".error")).to_contain_text("<b>broken.wav: not readable as audio")
    (tmp_path / "large.wav").write_bytes(bytes(1_200_000))
    choose(panel, tmp_path / "large.wav")
    panel.locator("button.go").click()
    sync_api.expect(panel.locator(".error")).to_contain_text("1.2 MB, and 1 MB is the most here")


def test_tabs_by_the_keyboard(page):
    page.get_by_role("tab", name="Recognise").focus()
    page.keyboard.press("ArrowLeft")
    sync_api.expect(page.get_by_role("tab", name="Identify")).to_be_focused()
    sync_api.expect(page.get_by_role("tabpanel", name="Identify")).to_be_visible()
