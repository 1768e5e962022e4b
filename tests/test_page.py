"""The page in a real browser: what a person does with it, and each thing that they can do wrong."""

import base64
import contextlib
import io
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from traitswap.metadata import SOURCE_TYPE
from traitswap.pipeline import Edit

from .photos import astronaut, image_file, scaled, shade, two_faces

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install '.[dev]'")
from .test_web import served, until  # noqa: E402

expect = playwright.expect

UPLOAD = 1_500_000
DROP = """([selector, files]) => {
  const data = new DataTransfer();
  for (const [name, type, base64] of files) {
    data.items.add(new File([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))], name, { type }));
  }
  for (const kind of ["dragenter", "dragover", "drop"]) {
    const event = new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: data });
    document.querySelector(selector).dispatchEvent(event);
  }
}"""
# Darker than white by more than any change here, so that nothing is clipped.
PHOTO = astronaut() // 2
HER = np.clip(astronaut() * 0.9, 0, 255).astype(np.uint8)
TWO = two_faces() // 2


@pytest.fixture(scope="module")
def browser():
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with playwright.sync_playwright() as started:
        try:
            browser = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        except playwright.Error as error:
            pytest.skip(f"no Chromium that starts: apt install chromium ({str(error).splitlines()[0]})")
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def pipe():
    return shade()


@pytest.fixture(scope="module")
def address(pipe):
    with served(pipe, upload=UPLOAD) as client:
        yield str(client.base_url)


@pytest.fixture
def page(browser, address):
    with opened(browser, address) as page:
        yield page


@contextlib.contextmanager
def opened(browser, address, **options):
    """The page; at its end, nothing was asked of others and no script failed."""
    context = browser.new_context(viewport={"width": 1200, "height": 800}, **options)
    context.set_default_timeout(15_000)
    expect.set_options(timeout=15_000)
    page = context.new_page()
    asked, failures = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: failures.append(str(error)))
    # Refusals are loaded resources that failed, to the browser.
    page.on(
        "console",
        lambda said: said.type == "error" and "Failed to load" not in said.text and failures.append(said.text),
    )
    page.goto(address)
    expect(page.get_by_role("heading", name="traitswap")).to_be_visible()
    page.wait_for_selector("fieldset", state="attached")
    yield page
    assert failures == []
    assert [url for url in asked if not url.startswith((f"{address}/", f"blob:{address}"))] == []
    context.close()


def file_of(image, name="me.png"):
    data = image if isinstance(image, bytes) else image_file(image, "PNG")
    return {"name": name, "mimeType": "image/jpeg" if name.endswith("jpg") else "image/png", "buffer": data}


def drop(page, selector, *files):
    page.evaluate(DROP, [selector, [[f["name"], f["mimeType"], base64.b64encode(f["buffer"]).decode()] for f in files]])


def give_photo(page, image=PHOTO, name="me.png"):
    page.set_input_files("#photo-file", file_of(image, name))
    expect(page.locator("#photo-name")).to_contain_text(name)
    settled(page)


def give_reference(page, image=HER, name="her.png"):
    page.set_input_files("#references-file", file_of(image, name))
    expect(page.get_by_role("button", name=f"Remove {name}")).to_be_visible()


def settled(page):
    """Once all that the hand did is drawn."""
    expect(page.locator("#frame")).to_have_attribute("aria-busy", "false")


def box(page, attribute="Hair color"):
    return page.get_by_role("group", name=attribute)


def choose(page, source, attribute="Hair color"):
    box(page, attribute).get_by_role("radio", name=source, exact=True).check()
    settled(page)


def slide(page, *amounts, attribute="Hair color"):
    for amount in amounts:
        box(page, attribute).get_by_role("slider").fill(str(amount))
    settled(page)


def canvas(page, name):
    data = page.evaluate(f"document.getElementById('{name}').toDataURL()").partition(",")[2]
    return np.array(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")).astype(int)


def shows(page, photo, expected):
    """Whether the page shows the change that the pipeline makes; the preview is a JPEG, so pixels differ."""
    change = canvas(page, "after") - canvas(page, "before")
    wanted = np.asarray(expected).astype(int) - photo
    assert change.any() == wanted.any()
    assert np.abs(change - wanted).max() <= 3
    assert np.abs(change - wanted).mean() < 0.2


def download(page):
    with page.expect_download() as saving:
        page.get_by_role("button", name="Download").click()
    return saving.value.suggested_filename, saving.value.path().read_bytes()


def alert(page, where, *expected):
    said = page.locator(f"#{where}-error")
    expect(said).to_be_visible()
    assert said.get_attribute("role") == "alert"
    for part in expected:
        expect(said).to_contain_text(part)
    assert "--" not in said.inner_text()


def test_from_a_photo_to_a_picture(page, pipe):
    drop(page, "#photo-drop", file_of(PHOTO))
    expect(page.locator("#photo-name")).to_have_text("me.png, 512 × 512")
    expect(page.locator("#faces button")).to_have_count(0)
    drop(page, "[data-drop=references]", file_of(HER, "her.png"), file_of(PHOTO, "him.png"))
    expect(page.locator("#references li")).to_have_count(2)
    settled(page)
    shows(page, PHOTO, PHOTO)

    choose(page, "her")
    shows(page, PHOTO, pipe(PHOTO, {"hair_color": HER}).image)
    slider = box(page).get_by_role("slider", name="How much hair color")
    slide(page, 1.5)
    expect(box(page).get_by_role("status")).to_have_text("1.50")
    shows(page, PHOTO, pipe(PHOTO, {"hair_color": HER}, {"hair_color": 1.5}).image)
    slide(page, 0.9, 0.7, 0.5, 0.3)
    assert slider.get_attribute("aria-valuetext") == "30 percent of her.png"
    expect(box(page).get_by_role("status")).to_have_text("0.30")
    shows(page, PHOTO, pipe(PHOTO, {"hair_color": HER}, {"hair_color": 0.3}).image)
    choose(page, "Smiling", "Smiling")
    take, strength = {"hair_color": HER, "smiling": "@smiling"}, {"hair_color": 0.3}
    result = pipe(PHOTO, take, strength)
    shows(page, PHOTO, result.image)
    name = page.locator("#after").get_attribute("aria-label")
    assert name == "me.png; face 1 with hair color of her.png, 30 percent; face 1 with smiling of smiling, 100 percent"

    name, data = download(page)
    assert name == "me-traitswap.png"
    assert data == result.encoded("PNG")
    page.get_by_role("checkbox", name=re.compile("trained model")).uncheck()
    page.get_by_role("combobox", name="Format").select_option("WebP")
    name, data = download(page)
    assert name == "me-traitswap.webp"
    assert data == result.encoded("WEBP", mark=False)
    assert SOURCE_TYPE.encode() not in data

    choose(page, "Yours")
    expect(slider).to_be_disabled()
    shows(page, PHOTO, pipe(PHOTO, {"smiling": "@smiling"}).image)


def test_styles_are_shown_on_the_own_face(page, pipe):
    give_photo(page)
    chips = {name: box(page).locator(f".chip:has(input[value='{name}']) canvas") for name in ("", "@fair", "@dark")}

    def red(name):
        """The mean level in the middle of the chip's face."""
        return chips[name].evaluate(
            "(chip) => chip.getContext('2d').getImageData(24, 24, 16, 16).data.filter((_, i) => i % 4 === 0)"
            ".reduce((sum, level) => sum + level, 0) / 256"
        )

    until(lambda: red("@dark") < red("") - 3 and red("@fair") > red("") + 3)


def test_every_face_takes_its_own(page, pipe):
    give_photo(page, TWO, "two.png")
    give_reference(page)
    first, second = (page.get_by_role("button", name=f"Face {number}", exact=True) for number in (1, 2))
    expect(first).to_have_attribute("aria-pressed", "true")
    choose(page, "her")
    slide(page, 0.5)
    second.click()
    expect(page.get_by_role("heading", name="What face 2 takes")).to_be_visible()
    expect(box(page).get_by_role("radio", name="Yours")).to_be_checked()
    choose(page, "Smiling", "Smiling")
    first.click()
    expect(box(page).get_by_role("radio", name="her")).to_be_checked()
    expect(box(page).get_by_role("slider")).to_have_value("0.5")
    expected = pipe.edit_faces(
        TWO, [Edit(1, {"hair_color": HER}, {"hair_color": 0.5}), Edit(2, {"smiling": "@smiling"})]
    )
    shows(page, TWO, expected.image)
    assert download(page)[1] == expected.encoded("PNG")
    # What was taken from a reference that is gone is not taken.
    page.get_by_role("button", name="Remove her.png").click()
    settled(page)
    expect(box(page).get_by_role("radio", name="Yours")).to_be_checked()
    expect(page.locator("#references-file")).to_be_focused()
    shows(page, TWO, pipe(TWO, {"smiling": "@smiling"}, face=2).image)


def test_the_divider_shows_before_on_its_left(page):
    give_photo(page)
    choose(page, "Fair")
    divider = page.get_by_role("slider", name="Divider between before and after")
    expect(divider).to_have_value("0")
    frame = page.locator("#frame").bounding_box()

    def visible(x):
        """The red level at a place of the frame, as the screen shows it."""
        shot = Image.open(
            io.BytesIO(
                page.screenshot(
                    clip={"x": frame["x"] + x, "y": frame["y"] + 0.27 * frame["height"], "width": 4, "height": 4}
                )
            )
        )
        return np.asarray(shot.convert("RGB"))[..., 0].mean()

    face = 0.435 * frame["width"]
    after = visible(face)
    knob = frame["y"] + frame["height"] / 2
    page.mouse.move(frame["x"] + 1, knob)
    page.mouse.down()
    page.mouse.move(frame["x"] + 0.8 * frame["width"], knob, steps=4)
    page.mouse.up()
    assert int(divider.input_value()) in range(75, 86)
    assert visible(face) < after - 10
    divider.press("Home")
    assert visible(face) == after
    divider.press("ArrowRight")
    expect(divider).to_have_value("1")
    page.get_by_role("button", name="Zoom in").click()
    assert page.locator("#after").bounding_box()["width"] > 1.5 * frame["width"]
    assert page.locator("#frame").bounding_box() == frame


def test_the_keyboard_is_enough(page, pipe, tmp_path):
    files = {}
    for name, image in (("me.png", PHOTO), ("her.png", HER)):
        (tmp_path / name).write_bytes(image_file(image))
        files[name] = tmp_path / name

    def tab_to(what):
        for _ in range(30):
            page.keyboard.press("Tab")
            if what.evaluate("(element) => element === document.activeElement"):
                # Whatever has the focus shows it: the element itself or what stands for it.
                assert what.evaluate(
                    "(e) => [e, e.nextElementSibling, e.closest('.chip'), document.querySelector('#line i'),"
                    " document.querySelector('figcaption label')]"
                    ".some((one) => one && getComputedStyle(one).outlineStyle === 'solid')"
                )
                return
        raise AssertionError("Tab does not get there")

    # Asked for with the key press alone, the browser may see the key first and open a dialog of its own.
    page.on("filechooser", lambda chooser: None)
    for field, name in (("#photo-file", "me.png"), ("#references-file", "her.png")):
        tab_to(page.locator(field))
        with page.expect_file_chooser() as choosing:
            page.keyboard.press("Space")
        choosing.value.set_files(files[name])
        expect(page.locator("#stage" if name == "me.png" else "#references li")).to_be_visible()
    settled(page)
    tab_to(box(page).get_by_role("radio", name="Yours"))
    page.keyboard.press("ArrowRight")
    expect(box(page).get_by_role("radio", name="her")).to_be_checked()
    tab_to(box(page).get_by_role("slider"))
    page.keyboard.press("End")
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    settled(page)
    tab_to(page.get_by_role("button", name="Download"))
    with page.expect_download() as saving:
        page.keyboard.press("Enter")
    expected = pipe(PHOTO, {"hair_color": HER}, {"hair_color": 1.47})
    assert saving.value.path().read_bytes() == expected.encoded("PNG")
    page.keyboard.press("Shift+Tab")
    expect(page.get_by_role("combobox", name="Format")).to_be_focused()
    tab_to(page.locator("#divider"))


def test_everything_that_can_be_worked_has_a_name(page):
    give_photo(page, TWO)
    give_reference(page)
    choose(page, "her")
    snapshot = page.locator("body").aria_snapshot()
    for role in ("button", "radio", "slider", "checkbox", "combobox", "group", "img"):
        lines = [line for line in snapshot.splitlines() if re.match(rf"\s*- {role}\b", line)]
        assert lines, role
        assert all(re.match(rf'\s*- {role} "', line) for line in lines), lines
    assert page.locator("[role=alert]").count() == 4


SPOILED = {
    "no image": (b"not an image", "spoiled.jpg is not an image that can be read"),
    "empty": (b"", "spoiled.jpg is not an image that can be read"),
    "cut short": (image_file(PHOTO)[:5000], "spoiled.jpg is damaged or cut short"),
    "no face": (np.full((200, 200, 3), 128, np.uint8), "spoiled.jpg: no face found; give a photo with an upright"),
    "small face": (scaled(astronaut(), 90), "at least 32 are needed: give a larger photo"),
    "cut off": (np.ascontiguousarray(astronaut()[:, 215:]), "is cut off by the photo's edge"),
    "pixels": (image_file(Image.new("1", (8000, 7000))), "at most 50,000,000 are read"),
    "bytes": (image_file(PHOTO) + bytes(UPLOAD), "MB; at most 1.5 MB can be sent: make it smaller"),
}


def test_photos_and_references_that_will_not_do_are_named_and_nothing_is_lost(page, pipe):
    drop(page, "#photo-drop", file_of(b"not an image", "spoiled.jpg"))
    alert(page, "photo", "spoiled.jpg is not an image that can be read")
    expect(page.locator("#photo-drop")).to_be_visible()
    give_photo(page)
    expect(page.locator("#photo-error")).to_be_hidden()
    give_reference(page)
    choose(page, "her")
    slide(page, 0.4)
    shown = canvas(page, "after")
    for image, expected in SPOILED.values():
        for field in ("photo", "references"):
            page.set_input_files(f"#{field}-file", file_of(image, "spoiled.jpg"))
            alert(page, field, expected)
    assert (canvas(page, "after") == shown).all()
    expect(page.locator("#references li")).to_have_count(1)
    # Among several references only those that will not do are left out.
    page.set_input_files("#references-file", [file_of(b"x", "spoiled.jpg"), file_of(PHOTO, "him.png")])
    alert(page, "references", "spoiled.jpg is not an image")
    expect(page.locator("#references li")).to_have_count(2)
    expected = pipe(PHOTO, {"hair_color": HER}, {"hair_color": 0.4})
    assert download(page)[1] == expected.encoded("PNG")
    # The next photo takes what this one took.
    give_photo(page, HER // 2, "next.png")
    shows(page, HER // 2, pipe(HER // 2, {"hair_color": HER}, {"hair_color": 0.4}).image)


def test_drops_that_are_no_photo_or_miss(page):
    drop(page, "#photo-drop")
    alert(page, "photo", "That was no file")
    drop(page, "[data-drop=references]")
    alert(page, "references", "That was no file")
    drop(page, "header", file_of(PHOTO))
    alert(page, "photo", "Drop it on your photo or on the references")
    drop(page, "#photo-drop", file_of(PHOTO), file_of(HER, "her.png"))
    alert(page, "photo", "One photo at a time: me.png is shown")
    expect(page.locator("#photo-name")).to_contain_text("me.png")
    # Of two in a row the second counts.
    page.set_input_files("#photo-file", file_of(PHOTO, "first.png"))
    page.set_input_files("#photo-file", file_of(HER, "second.png"))
    expect(page.locator("#photo-busy")).to_have_text("Looking for faces in second.png …")
    expect(page.locator("#photo-busy")).to_be_hidden()
    expect(page.locator("#photo-name")).to_contain_text("second.png")
    expect(page.locator("#photo-error")).to_be_hidden()


def test_a_face_that_cannot_be_edited_says_why(page):
    image = np.concatenate([astronaut()[:, 215:], two_faces()], 1)
    give_photo(page, image_file(image, "JPEG", quality=95), "three.jpg")
    face = page.get_by_role("button", name="Face 2, cannot be edited")
    expect(face).to_have_attribute("aria-disabled", "true")
    face.focus()
    page.keyboard.press("Enter")
    alert(page, "photo", "three.jpg: face 2 is cut off by the photo's edge")
    expect(page.get_by_role("heading", name="What face 1 takes")).to_be_visible()


def test_saving_too_early_or_too_much_is_explained(page):
    button = page.get_by_role("button", name="Download")
    button.click()
    alert(page, "save", "There is no photo yet")
    give_photo(page, image_file(PHOTO) + bytes(UPLOAD // 2))
    button.click()
    alert(page, "save", "Nothing is taken yet")
    give_reference(page, image_file(HER) + bytes(UPLOAD // 2))
    choose(page, "her")
    button.click()
    alert(page, "save", "MB together; at most 1.5 MB can be sent: take smaller references")
    choose(page, "Fair")
    download(page)
    expect(page.locator("#save-error")).to_be_hidden()


def test_a_server_that_is_busy_or_gone_loses_nothing(browser, pipe):
    with served(pipe) as client, opened(browser, str(client.base_url)) as page:
        give_photo(page)
        choose(page, "Fair")
        busy = {"status": 503, "body": json.dumps({"error": "the server is busy: try again in a moment"})}
        page.route("**/v1/*", lambda route: route.fulfill(**busy))
        slide(page, 0.6)
        alert(page, "take", "the server is busy")
        page.get_by_role("button", name="Download").click()
        alert(page, "save", "the server is busy")
        page.unroute("**/v1/*")
        slide(page, 0.7)
        expect(page.locator("#take-error")).to_be_hidden()
        shows(page, PHOTO, pipe(PHOTO, {"hair_color": "@fair"}, {"hair_color": 0.7}).image)
        page.route("**/v1/*", lambda route: route.abort())
        slide(page, 0.2)
        alert(page, "take", "The server does not answer")
        page.set_input_files("#photo-file", file_of(HER))
        alert(page, "photo", "The server does not answer")
        page.unroute("**/v1/*")
        assert download(page)[1] == pipe(PHOTO, {"hair_color": "@fair"}, {"hair_color": 0.2}).encoded("PNG")


CONTRAST = """() => {
  const style = getComputedStyle(document.documentElement), probe = document.createElement("i");
  document.body.append(probe);
  const light = (name) => {
    probe.style.color = style.getPropertyValue(name);
    const [r, g, b] = getComputedStyle(probe).color.match(/[0-9.]+/g)
      .map((part) => part / 255).map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const pairs = [["--ink", "--ground"], ["--ink", "--card"], ["--soft", "--ground"], ["--soft", "--card"],
    ["--error", "--error-ground"], ["--on-accent", "--accent"], ["--accent", "--tint"], ["--ink", "--tint"]];
  return Object.fromEntries(pairs.map(([a, b]) => {
    const [low, high] = [light(a), light(b)].sort((x, y) => x - y);
    return [`${a} on ${b}`, (high + 0.05) / (low + 0.05)];
  }));
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_and_a_phone_is_wide_enough(browser, address, scheme):
    with opened(browser, address, color_scheme=scheme) as page:
        ratios = page.evaluate(CONTRAST)
        assert min(ratios.values()) >= 4.5, ratios
        grounds = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)")
        assert (np.mean(grounds) > 128) == (scheme == "light")
        page.set_viewport_size({"width": 360, "height": 720})
        give_photo(page, TWO)
        choose(page, "Fair")
        assert page.evaluate("document.scrollingElement.scrollWidth") <= 360
        # The photo is still in sight where the slider is.
        slider = box(page, "Smiling").get_by_role("slider")
        slider.scroll_into_view_if_needed()
        expect(page.locator("#after")).to_be_in_viewport(ratio=0.9)
        frame, place = page.locator("#stage").bounding_box(), slider.bounding_box()
        assert frame["y"] + frame["height"] <= place["y"]
