"""The ablation of AR-Diffusion as a Markdown page: the paper's rows in its order, then single changes."""

from __future__ import annotations

from statistics import mean
from typing import Any

from training.study.ablation_claims import COPYING

LABELS = {
    "whole": ("AR-Diffusion", "12.2 / 62.8"),
    "-fopp": ("- FoPP (uniform first frame)", "11.0 / 101.0"),
    "-vae": ("- improved VAE", "13.1 / 148.3"),
    "-causal": ("- temporal causal attention", "15.9 / 209.8"),
    "-x0": ("- x0 prediction (eps)", "27.9 / 257.6"),
    "-non_decreasing": ("- non-decreasing constraint", "32.2 / 272.5"),
    "independent": ("independent timesteps (Diffusion Forcing)", ""),
    "equal": ("equal timesteps (synchronous)", ""),
    "both_ways": ("attention both ways", ""),
    "eps": ("eps prediction", ""),
    "v": ("v prediction", ""),
}
"""What a row is called, and the paper's FID / FVD of it."""
HEADS = {
    **{"ssim_1": "SSIM, 1 ahead", "ssim_4": "4 ahead", "ssim_16": "16 ahead"},
    **{"lpips_1": "LPIPS, 1 ahead", "lpips_4": "4 ahead", "lpips_16": "16 ahead"},
    **{"psnr_1": "PSNR, 1 ahead", "psnr_16": "16 ahead", "lfd": "LFD", "fvd": "FVD"},
}
CLAIMS = ("better by the paper", "less", "frames ahead", "SSIM, difference", "seeds", "verdict")


def markdown(summary: dict[str, Any]) -> str:
    """The page for what :mod:`training.ablate_ar_diffusion` found."""
    results: list[dict[str, Any]] = summary["results"]
    by_row: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        by_row.setdefault(result["row"], []).append(result)
    cumulative = [name for name in by_row if name == "whole" or name.startswith("-")]
    single = [name for name in by_row if name not in cumulative]
    lines = [
        "# AR-Diffusion's ablation at a small size",
        "",
        f"{summary['steps']} training steps a row over one AR-VAE, {summary['clips']} held-out clips of "
        f"{summary['episodes']} episodes: {summary['given']} true frames, then {summary['frames']} new ones in "
        f"{summary['denoising_steps']} DDIM steps, s = {summary['difference']:g} of them. Each cell is the mean over "
        "seeds, in brackets the widest of the seeds' 95% intervals over episodes (SSIM, LPIPS, PSNR: bootstrap; "
        "LFD, FVD: jackknife), behind it the seeds' own values. "
        f"LFD is the Frechet distance in the latents of the checkpoint `{summary['features']}`; it is not FVD and has "
        "another scale. Less is better for LPIPS, LFD, FID and FVD.",
        "",
    ]
    if cumulative:
        lines += ["Each row takes one more thing away, as in table 3 of the paper:", ""]
        lines += _table(cumulative, by_row, paper=True)
    if single:
        lines += ["", "One change alone:", "", *_table(single, by_row, paper=False)]
    limits = {"the AR-VAE alone, the ceiling of every row": results[0]["autoencoder"]}
    limits |= {"copying the last given frame": summary["copying"]}
    lines += ["", *(f"{name[0].upper()}{name[1:]}: {_means(scores)}.\n" for name, scores in limits.items())]
    lines += [
        "Row against row, and each against copying, by paired differences over the same clips (mean over seeds, 95% "
        "bootstrap intervals over episodes, then each seed's own; judged where the interval leaves 0 out and the seeds "
        "agree):",
        "",
        *_claims(summary["claims"]),
    ]
    missing = [LABELS[name][0] for name in LABELS if name not in by_row]
    if missing:
        lines += ["", f"Rows not run: {', '.join(missing)}."]
    lines += ["", "```", summary["command"], "```", "", f"Measured on {summary['hardware']}."]
    return "\n".join(lines) + "\n"


def _table(names: list[str], by_row: dict[str, list[dict[str, Any]]], paper: bool) -> list[str]:
    columns = [c for c in HEADS if c in by_row[names[0]][0]["scores"]]
    head = [
        "",
        *(HEADS[c] for c in columns),
        "seeds",
        *(["paper's FID / FVD (Sky, 256x256)"] if paper else []),
    ]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name in names:
        rows = by_row[name]
        cells = [_cell([r["scores"][c] for r in rows]) for c in columns]
        label, theirs = LABELS[name]
        row = [label, *cells, str(len(rows)), *([theirs] if paper else [])]
        lines.append("| " + " | ".join(row) + " |")
    return lines


def _claims(found: list[dict[str, Any]]) -> list[str]:
    lines = ["| " + " | ".join(CLAIMS) + " |", "|---" * len(CLAIMS) + "|"]
    for claim in found:
        labels = [COPYING if claim[k] == COPYING else LABELS[claim[k]][0] for k in ("better", "worse")]
        d = claim["difference"]
        difference = f"{d['mean']:.3f} [{d['low']:.3f}, {d['high']:.3f}]"
        seeds = ", ".join(f"{x:.3f}" for x in claim["seeds"])
        lines.append(
            "| " + " | ".join([*labels, str(claim["ahead"]), difference, seeds, claim["verdict"]]) + " |"
        )
    return lines


def _cell(scores: list[dict[str, Any]]) -> str:
    low = [s["low"] for s in scores if s["low"] is not None]
    high = [s["high"] for s in scores if s["high"] is not None]
    means = [s["mean"] for s in scores]
    spread = f" [{min(low):.3g}, {max(high):.3g}]" if low else ""
    each = f" ({', '.join(f'{m:.3g}' for m in means)})" if len(means) > 1 else ""
    return f"{mean(means):.3g}{spread}{each}"


def _means(scores: dict[str, Any]) -> str:
    return ", ".join(f"{HEADS[c]} {scores[c]['mean']:.3g}" for c in HEADS if c in scores)
