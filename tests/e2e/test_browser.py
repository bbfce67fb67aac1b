"""The page of a plan in a real browser, light and dark, wide and narrow."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from faces_samples import sample

from suanzhang.report.html import page
from suanzhang.report.views import report_of
from suanzhang.spec.plan import PlanResult

BROWSER = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
REQUIRED = "browser" in os.environ.get("SUANZHANG_REQUIRE", "").split(",")
MEASURE = """<script>document.title = JSON.stringify({page: document.documentElement.scrollWidth, screen: innerWidth,
charts: document.querySelectorAll('svg').length, ink: getComputedStyle(document.body).color,
paper: getComputedStyle(document.body).backgroundColor,
broken: [...document.querySelectorAll('svg')].filter(s => s.getBoundingClientRect().width < 100 && s.checkVisibility()).length
})</script></body>"""

pytestmark = pytest.mark.browser


def seen(folder: Path, width: int, *flags: str) -> dict:
    """What a page looks like to a browser: its widths, colours and charts."""
    if BROWSER is None:
        if REQUIRED:
            pytest.fail("no chromium here, and SUANZHANG_REQUIRE asks for the browser tests")
        pytest.skip("no chromium here; install it, or see SUANZHANG_REQUIRE in .ci/run")
    result = sample(PlanResult)
    file = folder / "page.html"
    file.write_text(page(report_of(result), result).replace("</body>", MEASURE), encoding="utf-8")
    run = subprocess.run(
        [
            BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", f"--user-data-dir={folder / 'profile'}",
            f"--window-size={width},1000", *flags, file.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    title = re.search(r"<title>(\{.*?\})</title>", run.stdout, re.S)
    assert title, run.stderr[-500:]
    return json.loads(title[1])


def brightness(color: str) -> float:
    return sum(int(part) for part in re.findall(r"\d+", color)[:3]) / 3.0


@pytest.mark.parametrize("width", [600, 1100])
def test_the_page_fits_and_its_charts_are_drawn(tmp_path: Path, width: int) -> None:
    found = seen(tmp_path, width)
    assert found["page"] <= found["screen"] and found["charts"] >= 3 and found["broken"] == 0


def test_the_page_follows_light_and_dark(tmp_path: Path) -> None:
    light = seen(tmp_path, 1100)
    dark = seen(tmp_path, 1100, "--force-dark-mode", "--blink-settings=preferredColorScheme=0")
    assert brightness(light["paper"]) > 200 > brightness(light["ink"])
    assert brightness(dark["paper"]) < 60 < brightness(dark["ink"])
