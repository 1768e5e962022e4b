"""Makes docs/results.md from the tables' JSON in docs/results.

    python benchmarks/results.py [FOLDER]

Published and own numbers stand in columns of their own.
"""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from traitswap.files import written_whole

RESULTS = Path(__file__).parents[1] / "docs" / "results"
ALL = "(all)"
DASH = "–"
REST = {"kept": "other labels kept", "identity": "identity", "leaked": "leaked", "border_change": "border change"}


def write(folder: Path) -> None:
    """Writes the page of all tables in `folder` beside it, as FOLDER.md; where there is no table, removes it."""
    if tables(folder):
        with written_whole(page(folder)) as fresh:
            fresh.write_text(text(folder), "utf-8")
    else:
        page(folder).unlink(missing_ok=True)


def page(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.md")


def tables(folder: Path) -> list[Path]:
    return sorted(folder.glob("table*.json"))


def read(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text("utf-8")))


def text(folder: Path) -> str:
    """The whole page."""
    about = f"Made by `python benchmarks/results.py` from the JSON in `{folder.name}/`; not to be edited."
    parts = ["# Results\n", f"{about}\n"]
    for file in tables(folder):
        parts += [section(read(file)), f"Every number and setting: [{file.name}]({folder.name}/{file.name}).\n"]
    return "\n".join(parts)


def section(table: Mapping[str, Any]) -> str:
    """One table as Markdown, its protocol below."""
    protocol = "\n".join(f"- {line}" for line in _protocol(table))
    parts = (f"## {table['title']}", _quality(table), "What was transferred, in the same results:", _transfer(table))
    return "\n\n".join([*parts, protocol]) + "\n"


def _quality(table: Mapping[str, Any]) -> str:
    frechet, ratio = _frechet(table), f"{table['compared']} ÷ this"
    kernel = frechet.replace("frechet", "kernel")
    heads = ["", "FID, published", f"{ratio}, published", f"{frechet}, own", f"{ratio}, own", "floor, own"]
    heads += [f"{frechet}_pooled, own", f"{ratio}, own", f"{kernel}, own", "standard error, own", "floor, own"]
    compared = next(m for m in table["models"] if m["name"] == table["compared"])
    rows = []
    for model in table["models"]:
        published = compared["published"] / model["published"]
        row = [model["name"], f"{model['published']:.2f}", DASH if model is compared else f"{published:.2f}"]
        for key in (frechet, f"{frechet}_pooled"):
            theirs, ours = (_values(m, "quality", ALL, key) for m in (model, compared))
            row += [cell(theirs), DASH if model is compared else cell(ratios(ours, theirs), "{:.2f}".format)]
            row += [cell(_values(model, "quality", ALL, f"{key}_floor"))] if key == frechet else []
        row += [cell(_values(model, "quality", ALL, f"{kernel}{end}")) for end in ("", "_error", "_floor")]
        rows.append(row)
    return markdown(heads, rows)


def _transfer(table: Mapping[str, Any]) -> str:
    models, share = table["models"], "{:.3f}".format
    names = list(models[0]["reports"][0]["attributes"])
    rows = []
    for model in models:
        success = [cell(_values(model, "together", "attributes", name, "success"), share) for name in names]
        rows.append([model["name"], *success, *(cell(_values(model, "together", key), share) for key in REST)])
    # The same for all models: they are measured on the same pairs.
    for label, key in (("photo, untouched", "success_untouched"), ("reference itself", "success_real")):
        ends = [cell(_values(models[0], "together", "attributes", name, key)[:1], share) for name in names]
        rows.append([label, *ends, *[DASH] * len(REST)])
    return markdown(["own", *(f"success, {name}" for name in names), *REST.values()], rows)


def _protocol(table: Mapping[str, Any]) -> Iterable[str]:
    first = table["models"][0]["reports"][0]
    p, trained = first["protocol"], first["protocol"]["training_data"]
    yield (
        f"**Published**: FID at 128 px on CelebA after 200,000 iterations. **Own**: {_frechet(table)}, the Fréchet "
        f"distance on the features of {_named(p['feature_network'])}. That is another measure: the two cannot be "
        "compared in value, only in ratios and order."
    )
    yield from _budget(table)
    yield (
        f"Data: {trained['name']} at {p['size']} px, {trained['train_images']:,} images to train on; measured on "
        f"{p['data']}, {p['split']}: {p['pairs']:,} pairs both ways (seed {p['seed']}), of which "
        f"{first['quality'][ALL]['count']:,} differ in something and give a result."
    )
    yield (
        "Floor: real against real, the same counts: the photos of the results, untouched, against the faces that the "
        "results are held against. A model that changes nothing gets the floor: read quality with success, and ratios "
        "of distances near the floor not at all. Pooled: all results against all real faces, as the paper counts; the "
        "results' own photos are among them, so it has no floor and favours models that change little."
    )
    judged = ", ".join(f"{name} {value:.1%}" for name, value in first["judge_accuracy"].items() if value is not None)
    yield f"Success and labels: by a classifier that took no part in training, right on these real faces: {judged}."
    if p["identity_network"]:
        yield f"Identity and leaked: cosines by {_named(p['identity_network'])}."
    yield from (note for note in first["notes"] if note.startswith(ALL))
    yield "What each number means: [evaluation.md](evaluation.md)."


def _budget(table: Mapping[str, Any]) -> Iterable[str]:
    budget, models = table["budget"], table["models"]
    steps = ", ".join(f"{m['name']} {budget['images'] // m['settings']['train']['batch']:,}" for m in models)
    changed = f", changed for all: {', '.join(budget['changes'])}" if budget["changes"] else ""
    yield (
        f"Budget: {budget['images']:,} training images for each model (iterations: {steps}); each method's preset "
        f"`{budget['preset']}` as it was then (all settings are in the JSON){changed}."
    )
    seeds = ", ".join(map(str, budget["seeds"]))
    several = len(budget["seeds"]) > 1
    yield (
        f"Seeds {seeds}: mean (lowest … highest)." if several else f"Seed {seeds} alone: no small difference counts."
    )
    if guide := table["classifiers"].get("guide"):
        others = any(m["settings"]["method"]["name"] != "latent-swap" for m in models)
        yield (
            f"Ours is guided by a classifier trained beforehand, one for all runs, on {guide['settings']['images']:,} "
            f"images that the budget does not count{'; StarGAN and DNA-GAN have none' if others else ''}."
        )
    residual = [m["name"] for m in models if m["settings"]["network"].get("residual")]
    if residual and len(residual) < len(models):
        yield (
            f"A model that adds a change to the photo ({', '.join(residual)}) begins with real pictures; those that "
            "draw the whole picture first have to learn to. The fewer the iterations, the more of a distance is that: "
            "the published ones are of 200,000."
        )
    for method in (m["settings"]["method"] for m in models):
        if method["name"] == "stargan":
            yield (
                "StarGAN is told the labels of photo and reference, the others see pictures alone; its generator "
                f"moves in every {method['critic_updates']}th iteration."
            )


def _named(network: Mapping[str, str]) -> str:
    return f"{network['name']} (sha256 {network['sha256'][:12]}…)"


def _frechet(table: Mapping[str, Any]) -> str:
    """The metric's name, which carries that of its network."""
    quality: Mapping[str, Any] = table["models"][0]["reports"][0]["quality"][ALL]
    return next(key for key in quality if key.startswith("frechet_"))


def _values(model: Mapping[str, Any], *path: str) -> list[float | None]:
    """What stands at `path` in each seed's report."""
    found = []
    for report in model["reports"]:
        value = report
        for key in path:
            value = value[key]
        found.append(value)
    return found


def ratios(over: Sequence[float | None], under: Sequence[float | None]) -> list[float | None]:
    """Seed by seed; None where either is missing or there is nothing to divide by."""
    return [a / b if a is not None and b else None for a, b in zip(over, under, strict=True)]


def cell(values: Sequence[float | None], show: Callable[[float], str] = "{:.4g}".format) -> str:
    """The mean over seeds, with the range where there are several; a dash where one is missing."""
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return DASH
    mean = show(sum(known) / len(known))
    return f"{mean} ({show(min(known))} … {show(max(known))})" if len(known) > 1 else mean


def markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; the first column names its rows, the others are numbers."""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else RESULTS)
