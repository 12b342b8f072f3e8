"""Scores as the tables of a card, lines of Markdown."""

from __future__ import annotations

from typing import Any


def cell(score: dict[str, Any]) -> str:
    if score["mean"] is None:
        return "-"
    return f"{score['mean']:.3f} [{score['low']:.3f}, {score['high']:.3f}]"


def ahead(scores: dict[str, Any], default: str = "", against: dict[str, Any] | None = None) -> list[str]:
    horizons = list(scores["dream"])
    lines = [
        "| SSIM, frames ahead | " + " | ".join(horizons) + " |",
        "|---" * (len(horizons) + 1) + "|",
    ]
    rows = [("dream", scores["dream"])]
    if against:
        rows.append((f"the default, `{default}`", against["dream"]))
    rows += [("copy of the last context frame", scores["copy"]), ("untrained model", scores["untrained"])]
    for label, row in rows:
        lines.append(f"| {label} | " + " | ".join(cell(row[h]["ssim"]) for h in horizons) + " |")
    counted = scores["dream"][horizons[0]]["ssim"]
    return [*lines, "", f"n = {counted['n']} starts in {counted['episodes']} episodes."]


def needle(scores: dict[str, Any]) -> list[str]:
    lines = [
        "| SSIM of returning views, last seen | memory | forgetful twin | autoencoder alone | the view as it was "
        "| n (episodes) |",
        "|---|---|---|---|---|---|",
    ]
    for ages, row in scores.items():
        cells = [cell(row[name]) for name in ("memory", "forgetful", "ceiling", "recall")]
        lines.append(
            f"| {ages} frames ago | "
            + " | ".join(cells)
            + f" | {row['memory']['n']} ({row['memory']['episodes']}) |"
        )
    return lines


def free_running(scores: dict[str, Any]) -> list[str]:
    parts = list(scores["lfd"])
    lines = ["| own frames | " + " | ".join(parts) + " |", "|---" * (len(parts) + 1) + "|"]
    rows = {"lfd": "dream", "true": "true frames", "elsewhere": "the same actions in other true worlds"}
    for name, label in rows.items():
        if row := scores.get(name):
            lines.append(f"| {label} | " + " | ".join(f"{row[part]:.2f}" for part in parts) + " |")
    return [
        *lines,
        "",
        f"The last part is {scores['ratio']:.1f} times as far as the first; {scores['collapsed']} of {scores['n']} "
        "dreams end farther away than any stretch of a true episode.",
    ]


SCORED = {
    "fvd": "FVD of 16-frame clips",
    "fd": "Fréchet distance of frames, EfficientNet",
    "precision": "precision",
    "coverage": "coverage",
    "recall": "recall",
}
"""Scores of `training.imagination` as a card names them."""


def imagination(found: dict[str, Any]) -> list[str]:
    """Every score over all stretches, and the worst stretch's ratio to other true worlds, row by row."""
    s = found["settings"]
    rows = list(next(iter(found["scores"].values()))["rows"])
    lines = [
        f"What it imagines: {s['context']} true frames, then {s['frames']} of its own, roaming, in {s['seeds']} unseen "
        f"worlds from seed {s['first_seed']} (frames of each stretch and world: {s['frames_each']}, clips: "
        f"{s['clips_each']}; brackets are 95% intervals over worlds). Beside it its twin, another checkpoint where one "
        "is given, other true worlds, and these through the autoencoder, blurred, and cut to confetti.",
        "",
        "| | " + " | ".join(rows) + " |",
        "|---" * (len(rows) + 1) + "|",
    ]
    for score, name in SCORED.items():
        if (scored := found["scores"].get(score)) is None:
            continue
        note = "" if scored["usable"] else " (ranks the true ones wrongly: decides nothing)"
        for key, label in (("all", name + note), ("ratio", f"{name}, worst stretch over other true worlds'")):
            cells = [scored["rows"][row][key] for row in rows]
            lines.append(
                f"| {label} | "
                + " | ".join(f"{_short(c['value'])} [{_short(c['low'])}, {_short(c['high'])}]" for c in cells)
                + " |"
            )
    return lines


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}"


def mirror(found: dict[str, Any]) -> list[str]:
    """SSIM and LPIPS of ways back, by how far they led."""
    rows = list(next(iter(found["mirror"].values())))
    lines = [
        "Out into what nobody has seen and back: frames of the way back against those of the way out, SSIM and LPIPS "
        f"(AlexNet), {found['settings']['seeds']} worlds:",
        "",
        "| frames out | " + " | ".join(rows) + " |",
        "|---" * (len(rows) + 1) + "|",
    ]
    for steps, by_row in found["mirror"].items():
        cells = [f"{cell(by_row[row]['ssim'])}, {cell(by_row[row]['lpips'])}" for row in rows]
        lines.append(f"| {steps} | " + " | ".join(cells) + " |")
    return lines


def methods(scores: dict[str, Any]) -> list[str]:
    """Every method with this one checkpoint."""
    first = next(iter(scores.values()))["ahead"]
    horizons = list(first["dream"])
    rows = {f"`{name}`": found["ahead"]["dream"] for name, found in scores.items()}
    rows["copy of the last context frame"] = first["copy"]
    lines = []
    for metric in [m for m in ("ssim", "lpips") if m in first["dream"][horizons[0]]]:
        lines.append(f"| {metric.upper()}, frames ahead | " + " | ".join(horizons) + " |")
        lines.append("|---" * (len(horizons) + 1) + "|")
        for name, row in rows.items():
            lines.append(f"| {name} | " + " | ".join(cell(row[h][metric]) for h in horizons) + " |")
        lines.append("")
    counted = first["dream"][horizons[0]]["ssim"]
    return [
        *lines,
        f"n = {counted['n']} starts in {counted['episodes']} episodes. "
        "A method with a window may know the actions to come.",
    ]
