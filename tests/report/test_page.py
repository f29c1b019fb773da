"""The page is one file, whole, offline, and safe against what users write."""

import csv
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from plotly.offline import get_plotlyjs
from tests.report.families import error_family, share_family, variant, with_variants

from lilliput.core import Measurement
from lilliput.report import report
from lilliput.report.facts import size_ratio

PLOTLY = get_plotlyjs()
VOID = {"meta", "br", "link", "img", "input", "hr"}


class Checked(HTMLParser):
    """Fails on tags that do not close in order; collects text and what a browser would fetch."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.fetched, self.ids = [], [], [], []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        attributes = dict(attrs)
        self.fetched += [attributes[k] for k in ("src", "href") if k in attributes]
        self.ids += [attributes["id"]] if "id" in attributes else []

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in {"script", "style"}:
            self.text.append(data)


def read(path):
    page = Checked()
    text = path.read_text(encoding="utf-8")
    assert PLOTLY in text
    page.feed(text.replace(PLOTLY, ""))
    page.close()
    assert page.open == []
    return page


def families(folder):
    full = share_family(folder)
    nothing = replace(full, variants=(), skipped=(), notes={})
    bare = with_variants(full, [variant("original", "onnxruntime-cpu", folder)])
    one = with_variants(full, full.variants[1:2])
    strange = variant(
        "odd", "t", folder, metric=float("nan"), size=0, latency=(0.0, 0.0, 0.0), latency_ratio=0.0
    )
    return {
        "full": full,
        "lower is better": error_family(folder),
        "nothing": nothing,
        "original without numbers": bare,
        "one variant, no original": one,
        "numbers that make no sense": with_variants(full, [*full.variants[:2], strange]),
    }


@pytest.mark.parametrize("case", families("."))
def test_any_family_gives_a_whole_page_with_all_sections(case, tmp_path):
    path = report(families(tmp_path)[case], tmp_path / "out" / "report.html")
    page = read(path)
    sections = {"front", "variants", "layers", "sensitivity", "skipped", "measured", "settings"}
    assert sections <= set(page.ids)
    assert json.loads(path.with_name("family.json").read_text())["task"]
    assert path.with_name("family.csv").read_text()


def test_a_browser_fetches_nothing(tmp_path):
    page = read(report(share_family(tmp_path), tmp_path / "report.html"))
    assert all(link.startswith("#") for link in page.fetched)


def test_what_users_write_stays_text(tmp_path):
    path = report(share_family(tmp_path), tmp_path / "report.html")
    page = read(path)
    assert "<script>alert(1)</script>" in "".join(page.text)
    assert "<script>alert(1)" not in path.read_text()
    assert "int8-4bit <b>x</b>" in "".join(page.text)


def test_smaller_but_slower_is_tagged_and_hollow(tmp_path):
    family = share_family(tmp_path)
    slow = [v for v in family.variants if v.name == "float-pruned"]
    page = read(report(family, tmp_path / "report.html"))
    assert "".join(page.text).count("smaller but slower") == len(slow)


def test_a_file_that_says_something_else_names_the_layer(tmp_path):
    family = share_family(tmp_path)
    first, *others = family.variants
    broken = replace(first, details={**first.details, "parity_culprit": "layer1.0.conv2"})
    family = replace(family, variants=(broken, *others))
    page = read(report(family, tmp_path / "report.html"))
    assert "".join(page.text).count("the file and the network part at layer1.0.conv2") == 1


def test_every_measurement_says_device_and_samples(tmp_path):
    page = read(report(share_family(tmp_path), tmp_path / "report.html"))
    text = " ".join(page.text)
    assert "x86-64, 1 thread" in text
    assert "2,000" in text
    assert "95 %, paired" in text


def test_a_folder_receives_report_html(tmp_path):
    assert report(error_family(tmp_path), tmp_path) == tmp_path / "report.html"
    assert not list(tmp_path.glob(".*partial"))


def test_json_holds_every_measurement_and_no_nan(tmp_path):
    family = families(tmp_path)["numbers that make no sense"]
    path = report(family, tmp_path / "report.html").with_name("family.json")

    def refuse(name):
        raise AssertionError(name)

    rows = json.loads(path.read_text(), parse_constant=refuse)["variants"]
    for row, made in zip(rows, family.variants, strict=True):
        quantities = [m["quantity"] for m in row["measurements"]]
        assert quantities == [m.quantity for m in made.measurements]


def test_csv_has_a_row_for_each_variant_with_units_in_the_heads(tmp_path):
    family = share_family(tmp_path)
    path = report(family, tmp_path / "report.html").with_name("family.csv")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [v.id for v in family.variants]
    assert float(rows[1]["size_bytes"]) == family.variants[1].value("size")
    assert float(rows[1]["latency_ms_high"]) == family.variants[1].measurement("latency").high
    assert float(rows[1]["times_smaller"]) == pytest.approx(1_098_000 / 301_000)
    assert rows[1]["parent"] == "original"


def test_other_methods_than_measuring_are_named(tmp_path):
    guess = Measurement("latency", 3.0, "ms", "estimated", "a phone")
    family = error_family(tmp_path)
    first = replace(family.variants[0], measurements=(*family.variants[0].measurements, guess))
    page = read(report(with_variants(family, [first]), tmp_path / "report.html"))
    assert "estimated" in " ".join(page.text)


def test_layers_before_and_after_are_added_up(tmp_path):
    family = share_family(tmp_path)
    text = "".join(read(report(family, tmp_path / "report.html")).text)
    macs = sum(layer["macs"] for layer in family.variants[0].details["layers"])
    assert re.search(rf"all layers.*?{macs / 1e6:.1f} M to", text, re.DOTALL)


def test_a_microcontroller_s_columns_and_pictures_are_its_own(tmp_path):
    common = {"target": "cortex-m4", "folder": tmp_path, "metric": 0.9, "drop": 0.0}
    pair = [
        variant("original", size=1000, **common),
        variant("int8", size=2000, flash=11_190, peak_ram=5504, instructions=1.417e6, **common),
    ]
    report(with_variants(error_family(tmp_path), pair), tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    heads = set(re.findall(r'<th scope="col"[^>]*>([^<]*)</th>', text))
    assert heads >= {"flash", "instructions", "peak RAM"}
    assert not heads & {"size", "latency", "speed"}
    assert "Metric against flash" in text
    assert "Metric against instructions" in text
    assert "Metric against latency" not in text


def test_a_packed_file_s_download_flash_and_ram_stand_side_by_side(tmp_path):
    common = {"target": "download", "folder": tmp_path, "metric": 0.9, "drop": 0.0}
    pair = [
        variant("original", size=90_000, flash=100_000, latency=1, peak_ram=3e5, **common),
        variant("int8", size=20_000, flash=28_000, latency=1, peak_ram=2e5, **common),
    ]
    family = with_variants(error_family(tmp_path), pair)
    report(family, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    heads = re.findall(r'<th scope="col"[^>]*>([^<]*)</th>', text)
    assert heads.index("size") < heads.index("flash") < heads.index("peak RAM")
    assert "instructions" not in heads
    assert re.search(r"20\.0 kB.*28\.0 kB.*200 kB", text)
    assert "Metric against size" in text
    assert "Metric against flash" not in text
    assert "28.0 kB of flash" in text
    assert size_ratio(family, pair[1]) == 4.5
