"""Reads every rendering of a report with the tools that people use, and compares each number with summary.json.

    python read_reports.py FOLDER

FOLDER holds summary.json, rows.csv, map.csv, report.html, report.md and tensorboard/. pandas reads the tables, TensorBoard
the event files and the hyperparameters, the parser of the standard library the page. Ends with 1 at the first number that
is missing, additional or different. `cargo xtask test reports-python` runs it.
"""

import json
import pathlib
import re
import sys
from html.parser import HTMLParser

import pandas
from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.hparams import plugin_data_pb2
from tensorboard.util import tensor_util

FINAL = ["median", "mean", "sd", "min", "max"]
EFFECT = ["estimate", "low", "high", "p"]
LARGER = ["larger", "larger_low", "larger_high"]
DECIDING = ["deciding_low", "deciding_high", "adjusted_p", *LARGER]
CELL = ["median", "min", "max"]


def same(what, found, wanted):
    """Both are dictionaries, equal in every key and to the last bit in every number."""
    missing, more = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    differing = [key for key in wanted.keys() & found.keys() if wanted[key] != found[key]]
    if missing or more or differing:
        for word, keys in [("missing", missing), ("additional", more), ("different", differing)]:
            for key in keys[:5]:
                print(f"{what}: {word}: {key}: {found.get(key)} instead of {wanted.get(key)}")
        sys.exit(1)
    if not wanted:
        sys.exit(f"{what}: nothing to compare")
    print(f"{what}: {len(wanted)} numbers agree")


def arms(summary):
    for study in summary["studies"]:
        for block in study["blocks"]:
            for arm in block["arms"]:
                yield study, block, arm


def table(folder, summary):
    rows = pandas.read_csv(folder / "rows.csv")
    found = {}
    for row in rows.itertuples():
        key = (row.study, row.block, row.arm, row.seed, row.probe)
        assert key not in found, f"rows.csv: {key} twice"
        found[key] = None if pandas.isna(row.value) else row.value
    wanted = {
        (study["name"], block["name"], arm["label"], int(seed), probe): value
        for study, block, arm in arms(summary)
        for probe, spread in arm["values"].items()
        for seed, value in spread["seeds"].items()
    }
    same("rows.csv in pandas", found, wanted)


def maps(folder, summary):
    """Every cell of every learnability map, by its row and column."""
    text = {name: str for name in ["study", "block", "arm", "look", "loss", "by", "part", "unit"]}
    none = {name: [""] for name in ["sigma", "log10_gsnr", "min", "max"]}
    rows = pandas.read_csv(folder / "map.csv", dtype=text, keep_default_na=False, na_values=none)
    found = {}
    for row in rows.to_dict("records"):
        numbers = {name: None if pandas.isna(value) else value for name, value in row.items()}
        key = tuple(numbers[name] for name in [*text, "sigma"])
        cell = [numbers[name] for name in ["seeds", "silent_seeds", "log10_gsnr", "min", "max"]]
        for what, number in zip(["n", "silent", *CELL], cell, strict=True):
            assert (*key, what) not in found, f"map.csv: {key} twice"
            found[*key, what] = number
    wanted = {}
    for study, block, arm in arms(summary):
        for of in arm.get("maps", []):
            # {"regions": 4} or "modes".
            by = next(iter(of["by"])) if isinstance(of.get("by"), dict) else of.get("by", "")
            for place, cell in enumerate(of["cells"]):
                unit, column = divmod(place, len(of["columns"]))
                # Bands are counted from the constant as 0, what else there is from 1.
                part = str(of["parts"][column] + (by != "bands")) if by else ""
                key = (study["name"], block["name"], arm["label"], of["look"], of["objective"])
                key += (by.removesuffix("s"), part, of["units"][unit], of["columns"][column])
                for what in ["n", "silent", *CELL]:
                    wanted[*key, what] = cell.get(what)
    same("map.csv in pandas", found, wanted)


def wanted_scalars(summary):
    """What the event files hold: (run, tag, step) to a number."""
    wanted = {}

    def put(run, tag, value, step=0):
        if value is not None:
            wanted["/".join(part.replace("/", "-") for part in run), tag, step] = value

    for study, block, arm in arms(summary):
        run = [study["name"], block["name"], arm["label"]]
        for name, curve in arm["curves"].items():
            for point in curve["points"]:
                for what in ["median", "min", "max"]:
                    if point["x"] == int(point["x"]):
                        put(run, f"{name}/{what}", point[what], int(point["x"]))
        for probe, spread in arm["values"].items():
            for what in FINAL:
                put(run, f"final/{probe}/{what}", spread[what])
            for seed, value in spread["seeds"].items():
                put([*run, f"seed {seed}"], probe, value)
    for study in summary["studies"]:
        for row in study["effects"]:
            for what in EFFECT:
                tag = f"{row['block']}/{row['probe']}/{row['effect']}/{what}"
                put([study["name"], "effects"], tag, row["numbers"][what])
        for row in study["verdicts"]:
            for what in EFFECT:
                put([study["name"], "contrasts"], f"{row['id']}/{what}", row["numbers"][what])
            for what in DECIDING:
                put([study["name"], "contrasts"], f"{row['id']}/{what}", row.get(what))
    return wanted


def event_files(folder, summary):
    logs = str(folder / "tensorboard")
    events = plugin_event_multiplexer.EventMultiplexer(tensor_size_guidance={"scalars": 0})
    events.AddRunsFromDirectory(logs)
    events.Reload()
    wanted = wanted_scalars(summary)
    found = {}
    for run in events.Runs():
        for tag in events.PluginRunToTagToContent("scalars").get(run, {}):
            for event in events.Tensors(run, tag):
                key = (run, tag, event.step)
                assert key not in found, f"event files: {key} twice"
                found[key] = tensor_util.make_ndarray(event.tensor_proto).item()
    same("event files in TensorBoard", found, wanted)

    # As the pages of TensorBoard ask for them: drawn as numbers of 32 bits or more.
    provider = data_provider.MultiplexerDataProvider(events, logs)
    shown = provider.read_scalars(RequestContext(), experiment_id="", plugin_name="scalars", downsample=1000)
    drawn = {
        (run, tag, point.step): point.value
        for run, tags in shown.items()
        for tag, points in tags.items()
        for point in points
    }
    same("scalars that TensorBoard draws", drawn, wanted)

    found = {}
    for run, tags in events.PluginRunToTagToContent("hparams").items():
        data = plugin_data_pb2.HParamsPluginData.FromString(tags["_hparams_/session_start_info"])
        for name, value in data.session_start_info.hparams.items():
            found[run, name] = getattr(value, value.WhichOneof("kind"))
        data = plugin_data_pb2.HParamsPluginData.FromString(tags["_hparams_/session_end_info"])
        assert data.session_end_info.status == 1, f"{run} has not ended well"
    wanted = {}
    for study, block, arm in arms(summary):
        for seed in range(arm["planned"]):
            if any(spread["seeds"].get(str(seed)) is not None for spread in arm["values"].values()):
                place = [study["name"], block["name"], arm["label"], f"seed {seed}"]
                run = "/".join(part.replace("/", "-") for part in place)
                parameters = {"study": place[0], "block": place[1], "arm": place[2], "seed": seed}
                parameters |= arm["levels"] | {"parameters": arm["parameters"]}
                wanted |= {(run, name): value for name, value in parameters.items()}
    same("hyperparameters in TensorBoard", found, wanted)


class Page(HTMLParser):
    """Texts of the verdicts by study, contrast and class, and those of the table of effects by what they are of."""

    def __init__(self):
        super().__init__()
        self.open = None
        self.in_table = False
        self.found = {}

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "details":
            self.in_table = False
        if attributes.get("class") in ["number", "larger"] and "data-contrast" in attributes:
            self.open = (attributes["data-study"], attributes["data-contrast"], attributes["class"])
        elif tag == "td" and self.in_table and "data-effect" in attributes:
            self.open = tuple(attributes[f"data-{name}"] for name in ["study", "block", "probe", "effect"])

    def handle_endtag(self, tag):
        self.open = None

    def handle_data(self, text):
        if text.startswith("All effects"):
            self.in_table = True
        if self.open:
            self.found.setdefault(self.open, []).append(text)


def shown(text):
    """The numbers in a text, each with half a unit of its last digit."""
    for number in re.findall(r"−?\d+(?:\.\d+)?(?:e−?\d+)?", text):
        plain = number.replace("−", "-")
        head, _, exponent = plain.partition("e")
        decimals = len(head.partition(".")[2])
        yield float(plain), 0.5 * 10.0 ** (int(exponent or 0) - decimals) * (1 + 1e-9)


def is_shown(numbers, text):
    """Whether the numbers that there are stand in a text, one after another, as it rounds them."""
    numbers = [number for number in numbers if number is not None]
    found = list(shown(text))
    return len(found) == len(numbers) and all(
        abs(number - seen) <= half for number, (seen, half) in zip(numbers, found, strict=True)
    )


def is_p(p, text):
    """Whether a text is this p: three decimals, a bound below them, a dash for none."""
    return text == "–" if p is None else text == "<0.001" if p < 0.001 else is_shown([p], text)


def page(folder, summary):
    """Effect, interval, P(A > B), p, q and n of each contrast and each effect, as the page rounds them."""
    reader = Page()
    reader.feed((folder / "report.html").read_text(encoding="utf-8"))
    found = {}
    for study in summary["studies"]:
        for row in study["verdicts"]:
            key = (study["name"], row["id"])
            effect, p, n = reader.found[*key, "number"]
            found[*key, "effect"] = is_shown([row["numbers"][what] for what in EFFECT[:3]], effect)
            found[*key, "adjusted p"] = is_p(row["adjusted_p"], p)
            found[*key, "n"] = n == str(row["numbers"]["n"])
            larger = "".join(reader.found.get((*key, "larger"), []))
            found[*key, "P(A > B)"] = is_shown([row.get(what) for what in LARGER], larger)
    same("verdicts of report.html", found, dict.fromkeys(found, True))
    found = {}
    for study in summary["studies"]:
        for row in study["effects"]:
            key = (study["name"], row["block"], row["probe"], row["effect"])
            effect, n, p, q = reader.found[key]
            found[*key, "effect"] = is_shown([row["numbers"][what] for what in EFFECT[:3]], effect)
            found[*key, "p"], found[*key, "q"] = is_p(row["numbers"]["p"], p), is_p(row["q"], q)
            found[*key, "n"] = n == str(row["numbers"]["n"])
    same("effects of report.html", found, dict.fromkeys(found, True))


def main():
    folder = pathlib.Path(sys.argv[1])
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    table(folder, summary)
    maps(folder, summary)
    event_files(folder, summary)
    page(folder, summary)


if __name__ == "__main__":
    main()
