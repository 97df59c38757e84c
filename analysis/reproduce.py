#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""reproduce.py [-o FOLDER] SYSTEM_FOLDER..: runs the cases of published systems and compares (docs/reproduce.md).

    make reproduce SYSTEM=objectcache
    analysis/reproduce.py configs/systems/objectcache

A system is a folder with cases.csv (what is run), expected.csv (what must come out), varies.csv (which parameters may
differ) and scenarios. Results and report.csv go to FOLDER/SYSTEM (build/reproduce). Exit 0: everything holds; 1: it
does not; 2: the folder is wrong, or a run failed.
"""
import concurrent.futures
import csv
import fnmatch
import itertools
import os
import string
import subprocess
import sys
import time

import results_expr

KINDS = ("claim", "control", "prediction")
UNITS = {"ms": 1e3, "s": 1, "Gbps": 8e-9, "GB/s": 1e-9, "%": 100, "": 1}


class BrokenSystem(Exception):
    """The folder is wrong, or a run failed."""


# ---- reading ----

def rows_of(path, columns):
    """Rows of a CSV file as dicts; lines that begin with # are notes."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            lines = [(number, line) for number, line in enumerate(file, 1) if line.strip() and line[0] != "#"]
    except OSError as error:
        raise BrokenSystem("%s: %s" % (path, error.strerror)) from None
    table = list(csv.reader(line for _, line in lines))
    if not table or table[0] != columns:
        raise BrokenSystem("%s: the header must be %s" % (path, ",".join(columns)))
    for (number, _), fields in zip(lines[1:], table[1:]):
        if len(fields) != len(columns):
            raise BrokenSystem("%s:%d: %d fields, expected %d" % (path, number, len(fields), len(columns)))
        yield "%s:%d" % (path, number), dict(zip(columns, (field.strip() for field in fields)))


def each_of(text):
    """'load:cap=A:80|B:50 policy=x|y' as a dict for every combination: {load: A, cap: 80, policy: x}, .."""
    lists = [[dict(zip(names.split(":"), value.split(":"))) for value in values.split("|")]
             for names, _, values in (word.partition("=") for word in text.split())]
    for chosen in itertools.product(*lists):
        yield {name: value for part in chosen for name, value in part.items()}


def read_cases(folder):
    """name -> (scenario, [KEY=VALUE, ..])"""
    cases = {}
    for where, row in rows_of(os.path.join(folder, "cases.csv"), ["case", "scenario", "for", "set"]):
        for values in each_of(row["for"]):
            try:
                name, settings = (string.Template(row[key]).substitute(values, here=folder) for key in ("case", "set"))
            except (KeyError, ValueError) as error:
                raise BrokenSystem("%s: no value for %s" % (where, error)) from None
            if not name.isidentifier() or name in cases:
                raise BrokenSystem("%s: '%s' is %s" % (where, name, "there twice" if name in cases else "no name"))
            cases[name] = (os.path.join(folder, row["scenario"]), [s.strip() for s in settings.split(";") if s.strip()])
    return cases


def bound(text, published, where):
    """A bound: a number in the row's unit, or a share of what was published: -25%."""
    if not text:
        return None
    try:
        return float(text) if not text.endswith("%") else float(published) * (1 + float(text[:-1]) / 100)
    except ValueError:
        raise BrokenSystem("%s: '%s' is no bound" % (where, text)) from None


def fault_of(row, cases):
    """What is wrong with a row; None where nothing is."""
    banded, missing = row["band"] != [None] * 2, [name for name in row["expression"].names if name not in cases]
    if missing:
        return "no case '%s' in cases.csv" % missing[0]
    if row["unit"] not in UNITS:
        return "unit '%s' is not one of %s" % (row["unit"], ", ".join(UNITS))
    if row["kind"] not in KINDS:
        return "kind '%s' is not one of %s" % (row["kind"], ", ".join(KINDS))
    if banded == (row["kind"] == "prediction"):
        return "a prediction has no band" if banded else "a %s needs lower or upper" % row["kind"]
    if (row["kind"] == "control") != bool(row["breaks"]):
        return "a control, and only that, needs `breaks`"
    return None


def read_expected(folder, cases):
    columns = ["metric", "kind", "value", "published", "lower", "upper", "unit", "grade", "breaks", "source"]
    rows = []
    for where, row in rows_of(os.path.join(folder, "expected.csv"), columns):
        try:
            row["expression"] = results_expr.Expression(row["value"])
            row["published"] = float(row["published"]) if row["published"] else None
        except (results_expr.ExpressionError, ValueError) as error:
            raise BrokenSystem("%s: %s" % (where, error)) from None
        row["band"] = [bound(row[key], row["published"], where) for key in ("lower", "upper")]
        wrong = fault_of(row, cases)
        if wrong:
            raise BrokenSystem("%s: %s" % (where, wrong))
        row["where"] = where
        rows.append(row)
    claims = {row["metric"]: row for row in rows if row["kind"] == "claim"}
    for row in rows:
        if row["breaks"] and row["breaks"] not in claims:
            raise BrokenSystem("%s: there is no claim '%s' to break" % (row["where"], row["breaks"]))
    if not any(row["kind"] == "control" for row in rows):
        raise BrokenSystem("%s: no negative control: nothing shows that the mechanism matters" % folder)
    return rows


# ---- running ----

def run_case(program, out, case):
    name, (scenario, settings) = case
    path = os.path.join(out, name + ".h5")
    command = [program, "run", scenario, "-o", path, "--force", "--quiet"]
    for setting in settings:
        command += ["--set", setting]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return name, None, "%s\n%s" % (" ".join(command), done.stderr.rstrip())
    return name, results_expr.Results(path), None


def run_all(cases, out):
    program = os.environ.get("KVSIM", "./kvsim")
    os.makedirs(out, exist_ok=True)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        done = list(pool.map(lambda case: run_case(program, out, case), cases.items()))
    failed = [why for _, _, why in done if why]
    if failed:
        raise BrokenSystem("%d of %d runs failed, the first:\n%s" % (len(failed), len(cases), failed[0]))
    return {name: results for name, results, _ in done}


# ---- what differs between the cases ----

def block(lines):
    """Takes the first block of (indent, text) lines: a dict, a list or a text. Resolved scenarios are in that style."""
    indent, text = lines[0]
    if text.startswith("- "):
        items = []
        while lines and lines[0][0] == indent and lines[0][1].startswith("- "):
            lines[0] = (indent + 2, lines[0][1][2:])
            items.append(block(lines))
        return items
    if ":" not in text:
        return lines.pop(0)[1]
    found = {}
    while lines and lines[0][0] == indent:
        key, _, value = lines.pop(0)[1].partition(":")
        found[key] = value.strip() or (block(lines) if lines and lines[0][0] > indent else "")
    return found


def flat(node, path=""):
    """{'tiers.dram.store.latency': '3.3us', ..}: an item of a list goes by its name, or by its number."""
    if isinstance(node, str):
        return {path: node}
    if isinstance(node, list):
        node = {item["name"] if isinstance(item, dict) and "name" in item else str(i): item
                for i, item in enumerate(node)}
    found = {}
    for key, value in node.items():
        found.update(flat(value, "%s.%s" % (path, key) if path else key))
    return found


def parameters(yaml):
    lines = [(len(line) - len(line.lstrip()), line.strip()) for line in yaml.splitlines()
             if line.strip() and not line.lstrip().startswith("#")]
    found = flat(block(lines))
    found.pop("name", None)
    return found


def differences(cases):
    """parameter -> {value: [cases]} of those that are not the same in all; "-" is the value where there is none."""
    settings = {name: parameters(results.text("meta/resolved_yaml")) for name, results in cases.items()}
    found = {}
    for key in sorted(set().union(*settings.values())):
        values = {}
        for name, setting in settings.items():
            values.setdefault(setting.get(key, "-"), []).append(name)
        if len(values) > 1:
            found[key] = values
    return found


def judge_difference(values, key, allowed):
    """(tuned, why): a parameter may differ in the cases that varies.csv says; the others must agree, and so must those
    of a row whose cases begin with "=". The reasons are those for the cases without the commonest value."""
    common = max(values, key=lambda value: len(values[value]))
    value_of = {name: value for value, names in values.items() for name in names}
    free, why, tuned = set(), [], False
    for row in allowed:
        if not fnmatch.fnmatchcase(key, row["parameter"]):
            continue
        globs = row["cases"].lstrip("= ").split()
        covered = {name for name in value_of if any(fnmatch.fnmatchcase(name, glob) for glob in globs)}
        if covered - set(values[common]):
            why.append(row["why"])
        if row["cases"].startswith("="):
            tuned |= len({value_of[name] for name in covered}) > 1
        free |= covered
    tuned |= len({value_of[name] for name in value_of if name not in free}) > 1
    return tuned, "; ".join(dict.fromkeys(why)) or "not in varies.csv"


def told(values):
    """The values, six at most."""
    return " | ".join(list(values)[:6] + ["... (%d values)" % len(values)] * (len(values) > 6))


def print_differences(found, allowed):
    """Names the parameters; true if one is tuned. Whole sections that some cases do not have are one line."""
    print("Parameters that differ between the cases:")
    any_tuned, sections = False, {}
    for key, values in found.items():
        tuned, why = judge_difference(values, key, allowed)
        any_tuned |= tuned
        if not tuned and len(values) == 2 and "-" in values and "." in key:
            parts = key.split(".")
            section = key if len(parts) < 3 else ".".join(parts[:2]) + ".*"
            sections.setdefault((section, tuple(values["-"]), why), []).append(key)
        else:
            print("  %s%s: %s\n      %s" % ("TUNED " if tuned else "", key, told(values), why))
    for (section, missing, why), keys in sections.items():
        who = missing[0] if len(missing) == 1 else "%d cases" % len(missing)
        print("  %s: not there in %s (%d)\n      %s" % (section, who, len(keys), why))
    return any_tuned


# ---- the verdict ----

def number(value):
    return "-" if value is None else "%.4g" % value if abs(value) < 1000 else "%.1f" % value


def within(value, band):
    low, high = band
    return (low is None or value >= low) and (high is None or value <= high)


def judge(row, value, claims):
    """(verdict, good)"""
    if row["kind"] == "prediction":
        return "prediction", True
    if row["kind"] == "claim":
        return ("holds", True) if within(value, row["band"]) else ("DOES NOT HOLD", False)
    if within(value, claims[row["breaks"]]["band"]):
        return "DOES NOT FAIL", False
    return ("fails as stated", True) if within(value, row["band"]) else ("FAILS OTHERWISE", False)


def report(name, rows, cases, tuned, out):
    claims = {row["metric"]: row for row in rows if row["kind"] == "claim"}
    table, good = [], True
    for row in rows:
        try:
            value = row["expression"].value(cases) * UNITS[row["unit"]]
        except results_expr.ExpressionError as error:
            raise BrokenSystem("%s: %s: %s" % (row["where"], row["value"], error)) from None
        verdict, fine = judge(row, value, claims)
        if tuned and verdict == "holds":
            verdict, fine = "tuned", False
        good &= fine
        published = row["published"]
        deviation = "-" if not published else "%+.1f %%" % (100 * (value / published - 1))
        band = "-" if row["kind"] == "prediction" else "%s .. %s" % tuple(map(number, row["band"]))
        table.append([row["metric"], number(published), number(value), deviation, band, row["unit"], row["grade"],
                      verdict])
    header = ["metric", "published", "simulated", "deviation", "band", "unit", "grade", "verdict"]
    print_table([header] + table)
    with open(os.path.join(out, "report.csv"), "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header] + table)
    count = {verdict: sum(row[-1] == verdict for row in table) for verdict in sorted({row[-1] for row in table})}
    print("%s: %s" % (name, ", ".join("%d %s" % (n, verdict) for verdict, n in count.items())))
    return good


def print_table(table):
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    for row in table:
        print("  ".join(cell.ljust(width) if i in (0, len(row) - 1) else cell.rjust(width)
                        for i, (cell, width) in enumerate(zip(row, widths))).rstrip())


def reproduce(folder, out_root):
    folder = folder.rstrip("/")
    name = os.path.basename(folder)
    out = os.path.join(out_root, name)
    cases = read_cases(folder)
    rows = read_expected(folder, cases)
    allowed = [row for _, row in rows_of(os.path.join(folder, "varies.csv"), ["parameter", "cases", "why"])]
    if not os.path.exists(os.path.join(folder, "README.md")):
        raise BrokenSystem("%s has no README.md" % folder)
    started = time.monotonic()
    results = run_all(cases, out)
    print("==== %s: %d runs in %.1f s, results in %s" % (name, len(cases), time.monotonic() - started, out))
    tuned = print_differences(differences(results), allowed)
    return report(name, rows, results, tuned, out)


def main(arguments):
    out = "build/reproduce"
    if arguments[:1] == ["-o"] and len(arguments) > 1:
        out, arguments = arguments[1], arguments[2:]
    if not arguments or arguments[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    good = True
    for folder in arguments:
        try:
            good &= reproduce(folder, out)
        except BrokenSystem as error:
            print("reproduce.py: %s" % error, file=sys.stderr)
            return 2
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
