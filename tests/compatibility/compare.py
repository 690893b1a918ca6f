"""Compares pamiq_async with pamiq-core 0.6: every public name, and how it behaves.

It takes a Python 3.12 or newer with both packages:

    python3.12 -m venv /tmp/compare
    /tmp/compare/bin/pip install pamiq-core==0.6.0 -e '.[gym]'
    /tmp/compare/bin/python -m tests.compatibility.compare

The last line asks both packages the same questions, records the answers in `recorded.json`, and writes them as a table
into `docs/reference/compared-with-pamiq-core.md`. What can't be asked, because a package or PyTorch is not installed,
keeps the answer recorded before: so where PyTorch is, the same line fills in the questions about it for ours. It ends
with 1 if an answer differs that is not meant to, or the other way round.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import json
import logging
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.compatibility import (
    probes_data,
    probes_environments,
    probes_extras,
    probes_interaction,
    probes_launch,
    probes_learning,
    probes_new,
    probes_states,
    probes_time,
    probes_torch,
    probes_web,
)
from tests.compatibility.differences import NOT_HERE, SIGNATURES
from tests.compatibility.names import Signature, accepts_the_same_calls, lookup, parameters, public_names
from tests.compatibility.probing import CORE, OURS, Group, Probe, answer, load

ROOT = Path(__file__).parents[2]
RECORDED = Path(__file__).with_name("recorded.json")
PAGE = ROOT / "docs" / "reference" / "compared-with-pamiq-core.md"
GUIDE = ROOT / "docs" / "how-to" / "from-pamiq-core.md"

GROUPS: list[Group] = [
    probes_interaction.probe,
    probes_environments.probe,
    probes_data.probe,
    probes_learning.probe,
    probes_states.probe,
    probes_time.probe,
    probes_launch.probe,
    probes_web.probe,
    probes_extras.testing,
    probes_extras.gym,
    probes_torch.probe,
    probes_new.probe,
]
PROBES = [probe for group in GROUPS for probe in group.probes]

LONGEST_CELL = 100

INTRODUCTION = """\
# Compared with pamiq-core

<!-- Made by `python -m tests.compatibility.compare`; change the probes, not this page. -->

Each row is a question that was asked of pamiq-core {version} and of pamiq_async in the same words: a few lines of
Python in which the package's name alone is another. *Same* means the same answer. Where answers differ, they are meant
to; the row says why, and so does [Come from pamiq-core](../how-to/from-pamiq-core.md). An error is shown as the builtin
error that it is, since that is what an `except` clause catches. The answers of pamiq_async are checked whenever its
tests run.

To make the table anew, with Python 3.12 or newer:

```console
$ python3.12 -m venv /tmp/compare
$ /tmp/compare/bin/pip install pamiq-core==0.6.0 -e '.[gym]'
$ /tmp/compare/bin/python -m tests.compatibility.compare
```
"""


def main() -> int:
    logging.disable(logging.CRITICAL)
    recorded = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    for package in (CORE, OURS):
        if importlib.util.find_spec(package) is None:
            print(f"{package} is not installed; its answers stay as they were")
            continue
        recorded[package] = ask_all(package, recorded.get(package, {}))
    if importlib.util.find_spec(CORE) is not None:
        recorded["version"] = importlib.metadata.version(CORE)
        recorded["names"] = compare_names()
    recorded = {key: recorded[key] for key in ("version", CORE, OURS, "names")}
    RECORDED.write_text(as_text(recorded))
    PAGE.write_text(page(recorded))
    faults = [f"{probe.key}: {verdict}" for probe in PROBES if is_fault(verdict := verdict_of(probe, recorded))]
    faults += [
        f"{name}: {verdict}" for name in recorded["names"] if is_fault(verdict := verdict_of_name(name, recorded))
    ]
    print(*faults, summary(recorded), sep="\n")
    return 1 if faults else 0


def as_text(recorded: dict[str, Any]) -> str:
    """JSON with a line for each answer and each name, so that a difference is easy to read."""
    parts = []
    for key, value in recorded.items():
        if isinstance(value, dict):
            lines = [f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in value.items()]
            parts.append(f'"{key}": {{\n' + ",\n".join(lines) + "\n}")
        else:
            parts.append(f'"{key}": {json.dumps(value)}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def ask_all(package: str, before: dict[str, str]) -> dict[str, str]:
    root = load(package)
    answers = {}
    for probe in PROBES:
        result = answer(probe, root)
        if result is None and probe.key in before:
            result = before[probe.key]
        if result is not None:
            answers[probe.key] = result
    return answers


def compare_names() -> dict[str, dict[str, Signature]]:
    """Every public name of the other package: its parameters, and ours; nothing if it is not here."""
    names = public_names(CORE) | dict.fromkeys(torch_names_of(CORE))
    root = load(OURS)
    found: dict[str, dict[str, Signature]] = {}
    for name, theirs in sorted(names.items()):
        try:
            found[name] = {"theirs": theirs, "ours": parameters(lookup(root, name))}
        except (AttributeError, ModuleNotFoundError):
            of_torch = name.partition(".")[0] == "torch" and (name in torch_names_of(OURS) or is_inherited(root, name))
            found[name] = {"theirs": None, "ours": None} if of_torch else {}
    return found


def is_inherited(root: ModuleType, name: str) -> bool:
    """Whether a method of a PyTorch class is one of the class that it extends: TorchTrainer of Trainer, and so on."""
    owner, _, method = name.removeprefix("torch.Torch").partition(".")
    return hasattr(getattr(root, owner, None), method)


def torch_names_of(package: str) -> list[str]:
    """What `torch` exports, and the public methods of its classes, read from the source: PyTorch is not needed."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    directory = Path(spec.origin).parent / "torch"
    exported = [name for node in parsed(directory / "__init__.py") for name in listed(node)]
    classes = {
        node.name: node for file in directory.glob("*.py") for node in parsed(file) if isinstance(node, ast.ClassDef)
    }
    methods = [
        f"torch.{name}.{method.name}"
        for name in exported
        if name in classes
        for method in classes[name].body
        if isinstance(method, ast.FunctionDef) and not method.name.startswith("_")
    ]
    return ["torch", *[f"torch.{name}" for name in exported], *methods]


def parsed(file: Path) -> list[ast.stmt]:
    return ast.parse(file.read_text(encoding="utf-8")).body


def listed(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
        return list(ast.literal_eval(node.value))
    return []


# --- Verdicts -------------------------------------------------------------------------------------


def is_fault(verdict: str) -> bool:
    return verdict.startswith("FAULT")


def verdict_of(probe: Probe, recorded: dict[str, Any]) -> str:
    theirs, ours = recorded[CORE].get(probe.key), recorded[OURS].get(probe.key)
    if probe.group == probes_new.probe.title:
        return "new" if theirs is not None and theirs.startswith("raises") else "FAULT: it is there, too"
    if theirs is None:
        return "ours alone"
    if theirs == ours:
        return "FAULT: same, though it should differ" if probe.differs else "same"
    return f"differs: {probe.differs}" if probe.differs else "FAULT: differs"


def verdict_of_name(name: str, recorded: dict[str, Any]) -> str:
    entry = recorded["names"][name]
    if "ours" not in entry:
        reason = reason_for_absence(name)
        return f"not here: {reason[0]}" if reason else "FAULT: not here"
    if reason_for_absence(name):
        return "FAULT: here, though said to be absent"
    if accepts_the_same_calls(entry["theirs"], entry["ours"]):
        return "same"
    if name in SIGNATURES:
        return f"differs: {SIGNATURES[name][0]}"
    return "FAULT: other parameters"


def reason_for_absence(name: str) -> tuple[str, str] | None:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        if ".".join(parts[:length]) in NOT_HERE:
            return NOT_HERE[".".join(parts[:length])]
    return None


def asked_names() -> set[str]:
    """The names that some probe is about."""
    return {name for probe in PROBES for name in probe.names}


# --- The page -------------------------------------------------------------------------------------


def page(recorded: dict[str, Any]) -> str:
    lines = [INTRODUCTION.format(version=recorded["version"]), summary(recorded), ""]
    for group in GROUPS:
        lines += [f"## {group.title}", ""]
        if group.needs == "torch":
            lines += ["pamiq-core was not asked: it and PyTorch were not in one environment.", ""]
        lines += ["| name, and what was asked | pamiq-core 0.6 | pamiq_async | verdict |", "|---|---|---|---|"]
        lines += [row(probe, recorded) for probe in group.probes]
        lines += [""]
    lines += [
        "## Names and parameters",
        "",
        "What is not listed is here by the same name, and takes the same arguments.",
        "",
    ]
    lines += ["| name | pamiq-core 0.6 | pamiq_async | verdict |", "|---|---|---|---|"]
    lines += [name_row(name, recorded) for name in rows_of_names(recorded)]
    return "\n".join(lines) + "\n"


def row(probe: Probe, recorded: dict[str, Any]) -> str:
    names = ", ".join(f"`{name}`" for name in shortened(probe.names))
    theirs, ours = (recorded[package].get(probe.key) for package in (CORE, OURS))
    return f"| {names}: {escaped(probe.question)} | {cell(theirs)} | {cell(ours)} | {verdict_of(probe, recorded)} |"


def shortened(names: tuple[str, ...]) -> list[str]:
    """Methods of one class by their own names, once the class was named."""
    shown: list[str] = []
    owner = ""
    for name in names:
        head, _, method = name.rpartition(".")
        if head and head == owner:
            shown.append(f".{method}")
        else:
            shown.append(name)
            of_a_class = head.rpartition(".")[2][:1].isupper()
            owner = head if of_a_class else name
    return shown


def rows_of_names(recorded: dict[str, Any]) -> list[str]:
    """Names that are not the same; of what is absent with all its members, the whole alone."""
    shown: list[str] = []
    for name in recorded["names"]:
        verdict = verdict_of_name(name, recorded)
        parent = name.rpartition(".")[0]
        covered = any(name.startswith(f"{other}.") for other in shown) and verdict == verdict_of_name(parent, recorded)
        if verdict != "same" and not covered:
            shown.append(name)
    return shown


def name_row(name: str, recorded: dict[str, Any]) -> str:
    entry = recorded["names"][name]
    theirs = call_text(entry.get("theirs"))
    ours = call_text(entry["ours"]) if "ours" in entry else "–"
    return f"| `{name}` | {theirs} | {ours} | {verdict_of_name(name, recorded)} |"


def call_text(signature: Signature) -> str:
    return cell(f"({', '.join(signature)})") if signature is not None else "there"


def cell(result: str | None) -> str:
    if result is None:
        return "not asked"
    if len(result) > LONGEST_CELL:
        result = result[: LONGEST_CELL - 1] + "…"
    return f"`{escaped(result)}`" if result else "–"


def escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def summary(recorded: dict[str, Any]) -> str:
    verdicts = [verdict_of(probe, recorded).partition(":")[0] for probe in PROBES]
    names = [verdict_of_name(name, recorded).partition(":")[0] for name in recorded["names"]]
    return (
        f"{len(PROBES)} questions: {verdicts.count('same')} answers are the same, "
        f"{verdicts.count('differs')} differ on purpose, {verdicts.count('new')} are about what is new here, "
        f"{verdicts.count('ours alone')} were asked of pamiq_async alone. "
        f"{len(names)} public names of pamiq-core: {names.count('same')} are here with the same parameters, "
        f"{names.count('differs')} with others, {names.count('not here')} are not here."
    )


if __name__ == "__main__":
    sys.exit(main())
