"""The scores as Markdown and as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from realface.evaluation.scores import COLUMNS, HEADLINES, PREDICTED, Key, column, shown
from realface.evaluation.subject import Evaluation
from realface.evaluation.summary import Mean, by_tone, leads, means

Json = dict[str, object]

PREFERRED = ("open", "whole")
"""Regions that stand for a map where there is room for one."""


def markdown(subjects: Sequence[Evaluation], seed: int) -> str:
    """All tables: of one subject its scores, of several means with intervals."""
    found = means(subjects, seed)
    parts = ["# Evaluation", _about(subjects), headline_table(subjects, seed)]
    for kind, region in dict.fromkeys((key.map, key.region) for key in found):
        parts += [f"## {kind}, {region}", _table(found, kind, region)]
    if len(subjects) > 1:
        parts += [
            "## Subjects",
            _subject_table(subjects),
            "## Skin tones",
            _tone_table(subjects, seed),
        ]
    parts += ["## Notes", _notes(subjects)]
    return "\n\n".join(parts) + "\n"


def headline_table(subjects: Sequence[Evaluation], seed: int) -> str:
    """One number a map and method, in the headline region; how far the prediction is from it."""
    found, ahead = means(subjects, seed), leads(subjects, seed)
    rows = []
    for kind, metric in HEADLINES.items():
        region = _headline_region(found, kind)
        for key, mean in found.items():
            if (key.map, key.region, key.metric) == (kind, region, metric):
                head = f"{column(metric)[0]} [{_unit(metric)}]"
                lead = cell(metric, ahead[key], signed=True) if key in ahead else ""
                rows.append([kind, key.method, region, head, cell(metric, mean), lead])
    heads = ["map", "method", "region", "score", "value", "predicted minus it"]
    return _lines(heads, rows)


def as_json(subjects: Sequence[Evaluation], seed: int) -> Json:
    """Everything, for programs; an infinite number is null, one that is none is absent."""
    made: Json = {
        "version": 1,
        "seed": seed,
        "subjects": {subject.name: _subject_json(subject) for subject in subjects},
    }
    if len(subjects) > 1:
        made["means"] = _nested({k: _mean_json(m) for k, m in means(subjects, seed).items()})
        made["predicted_minus"] = _nested(
            {k: _mean_json(m) for k, m in leads(subjects, seed).items()}
        )
        made["skin_tones"] = {
            tone: {
                "subjects": [subject.name for subject in group],
                "means": _nested({k: _mean_json(m) for k, m in means(group, seed).items()}),
            }
            for tone, group in by_tone(subjects).items()
        }
    return made


def cell(metric: str, mean: Mean, signed: bool = False) -> str:
    """A mean, and its interval if there is one."""
    text = shown(metric, mean.mean, signed)
    if mean.low is None or mean.high is None:
        return text
    return f"{text} [{shown(metric, mean.low, signed)}, {shown(metric, mean.high, signed)}]"


def _unit(metric: str) -> str:
    return "degrees" if "angle" in metric else "dB"


def _headline_region(found: Mapping[Key, Mean], kind: str) -> str:
    there = {key.region for key in found if key.map == kind}
    return next((region for region in PREFERRED if region in there), "whole")


def _about(subjects: Sequence[Evaluation]) -> str:
    if len(subjects) > 1:
        return (
            f"{len(subjects)} subjects: mean [bootstrap 95 % interval over subjects]. "
            "`gain`: after the gain of each channel that is best in linear light."
        )
    return f"{subjects[0].name}. `gain`: after the gain of each channel best in linear light."


def _table(found: Mapping[Key, Mean], kind: str, region: str) -> str:
    here = {key: mean for key, mean in found.items() if (key.map, key.region) == (kind, region)}
    methods = list(dict.fromkeys(key.method for key in here))
    there = dict.fromkeys(key.metric for key in here)
    metrics = [metric for metric in COLUMNS if metric in there]
    metrics += [metric for metric in there if metric not in COLUMNS]
    rows = [
        [
            f"**{method}**" if method == PREDICTED else method,
            *(
                cell(metric, here[key])
                if (key := Key(kind, region, method, metric)) in here
                else ""
                for metric in metrics
            ),
        ]
        for method in methods
    ]
    return _lines(["method", *(column(metric)[0] for metric in metrics)], rows)


def _subject_table(subjects: Sequence[Evaluation]) -> str:
    kinds = [kind for kind in HEADLINES if any(k.map == kind for s in subjects for k in s.scores)]
    rows = []
    for subject in subjects:
        row = [subject.name, _tone(subject)]
        for kind in kinds:
            found = {key: Mean(v, None, None, 1) for key, v in subject.scores.items()}
            key = Key(kind, _headline_region(found, kind), PREDICTED, HEADLINES[kind])
            row.append(cell(key.metric, found[key]) if key in found else "")
        rows.append(row)
    heads = [f"{kind}, {column(HEADLINES[kind])[0]}" for kind in kinds]
    return _lines(["subject", "skin tone", *heads], rows)


def _tone_table(subjects: Sequence[Evaluation], seed: int) -> str:
    rows = []
    for tone, group in by_tone(subjects).items():
        found = means(group, seed)
        for kind, metric in HEADLINES.items():
            region = _headline_region(found, kind)
            for key, mean in found.items():
                if (key.map, key.region, key.metric) == (kind, region, metric):
                    rows.append(
                        [
                            tone,
                            str(len(group)),
                            kind,
                            key.method,
                            column(metric)[0],
                            cell(metric, mean),
                        ]
                    )
    return _lines(["skin tone", "subjects", "map", "method", "score", "value"], rows)


def _tone(subject: Evaluation) -> str:
    if subject.tone is None or subject.typology_angle is None:
        return ""
    return f"{subject.tone} ({subject.typology_angle:.0f} deg)"


def _notes(subjects: Sequence[Evaluation]) -> str:
    """Each note once, with the subjects that it is about unless it is about all."""
    about: dict[str, list[str]] = {}
    for subject in subjects:
        for note in subject.notes:
            about.setdefault(note, []).append(subject.name)
    lines = [
        f"- {note}" if len(names) == len(subjects) else f"- {', '.join(names)}: {note}"
        for note, names in about.items()
    ]
    if len(subjects) == 1 and subjects[0].tone:
        lines.append(f"- skin tone of the truth: {_tone(subjects[0])}")
    return "\n".join(lines) or "none"


def _lines(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _subject_json(subject: Evaluation) -> Json:
    return {
        "skin_tone": subject.tone,
        "typology_angle": subject.typology_angle,
        "millimetres_per_texel": subject.millimetres_per_texel,
        "region_shares": subject.shares,
        "notes": list(subject.notes),
        "scores": _nested({key: _finite(value) for key, value in subject.scores.items()}),
    }


def _mean_json(mean: Mean) -> Json:
    return {
        "mean": _finite(mean.mean), "low": mean.low, "high": mean.high, "subjects": mean.subjects,
    }  # fmt: skip


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _nested(flat: Mapping[Key, object]) -> Json:
    made: dict[str, dict[str, dict[str, dict[str, object]]]] = {}
    for key, value in flat.items():
        methods = made.setdefault(key.map, {}).setdefault(key.region, {})
        methods.setdefault(key.method, {})[key.metric] = value
    return dict(made)
