# SPDX-License-Identifier: Apache-2.0
"""Expressions over results files: what expected.csv of a system calls a metric (docs/reproduce.md).

    a.requests.ttft                  column of a table of case `a`, in SI units; /requests also has ttft, tpot, e2e
    a.requests.ttft[3]               of request 3;  [0:4]: of requests 0 to 3
    a.tiers.read_bytes["object"]     of the row with that label (tiers, links)
    a.summary["ttft.p99"]            a scalar of /summary; also quality
    sum mean min max all             over all values of their arguments; abs(x);  ascending(x, y, ..)
    + - * / ** < <= > >= == !=       element by element

There is nothing else: no names but cases, no calls but those. A comparison is 1 or 0.
"""
import ast
import operator

import h5py
import numpy as np

import kvsim_io

OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
             ast.Pow: operator.pow, ast.USub: operator.neg, ast.Lt: operator.lt, ast.LtE: operator.le,
             ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Eq: operator.eq, ast.NotEq: operator.ne}


class ExpressionError(Exception):
    """What is wrong with an expression, or with what it asks of the results."""


class Column:
    """Values of one column, and what names its rows."""

    def __init__(self, values, rows, name):
        self.values, self.rows, self.name = values, rows, name

    def select(self, wanted):
        if isinstance(wanted, slice):
            if self.rows.dtype.kind not in "iu":
                raise ExpressionError("%s: its rows have labels, no numbers" % self.name)
            low = -np.inf if wanted.start is None else wanted.start
            found = (self.rows >= low) & (self.rows < (np.inf if wanted.stop is None else wanted.stop))
        else:
            found = self.rows == wanted
        if not np.any(found):
            raise ExpressionError("%s: no row %r" % (self.name, wanted))
        values = self.values[found]
        return values if isinstance(wanted, slice) or len(values) > 1 else values[0]


class Results:
    """One results file; its tables are read when they are asked for."""

    def __init__(self, path):
        self.path = path

    def text(self, name):
        with h5py.File(self.path, "r") as file:
            return file[name].asstr()[()]

    def scalar(self, group, name):
        with h5py.File(self.path, "r") as file:
            if name not in file[group]:
                raise ExpressionError("/%s has no '%s'" % (group, name))
            return file[group][name][()]

    def column(self, table, name):
        with h5py.File(self.path, "r") as file:
            if table not in file:
                raise ExpressionError("the results have no /%s" % table)
            group = file[table]
            made = {"ttft": ("first_token", "arrival"), "e2e": ("finish", "arrival")} if table == "requests" else {}
            if name in made:
                later, earlier = (kvsim_io.values(group[part]) for part in made[name])
                values = later - earlier
            elif table == "requests" and name == "tpot":
                gaps = kvsim_io.values(group["generated_tokens"]) - 1
                values = (kvsim_io.values(group["finish"]) - kvsim_io.values(group["first_token"])) / gaps
            elif name in group:
                values = kvsim_io.values(group[name])
            else:
                raise ExpressionError("/%s has no column '%s'" % (table, name))
            return Column(values, self._rows(group, table, len(values)), "%s.%s" % (table, name))

    @staticmethod
    def _rows(group, table, count):
        for name in ("request", table.rstrip("s")):
            if name in group and group[name].shape == (count,):
                return kvsim_io.values(group[name])
        return np.arange(count)


def _values(x):
    return x.values if isinstance(x, Column) else x


def _over(reduce):
    """A reduction over all values of all its arguments."""
    return lambda *parts: reduce(np.concatenate([np.ravel(part) for part in parts]))


def _ascending(*values):
    return all(a < b for a, b in zip(values, values[1:]))


FUNCTIONS = {"sum": _over(np.sum), "mean": _over(np.mean), "min": _over(np.min), "max": _over(np.max),
             "all": _over(np.all), "abs": np.abs, "ascending": _ascending}


class Expression:
    """A parsed expression; `names` are the cases it speaks of."""

    def __init__(self, text):
        self.text = text
        try:
            self.tree = ast.parse(text.strip(), mode="eval").body
        except SyntaxError as error:
            raise ExpressionError("cannot be read: %s" % error.msg) from None
        called = {id(node.func) for node in ast.walk(self.tree) if isinstance(node, ast.Call)}
        self.names = sorted({node.id for node in ast.walk(self.tree)
                             if isinstance(node, ast.Name) and id(node) not in called})

    def value(self, cases):
        """A number; `cases` maps names to Results."""
        result = np.asarray(_values(self._of(self.tree, cases)), float)
        if result.ndim:
            raise ExpressionError("gives %d values; sum, mean, min, max or [row] make one of them" % result.size)
        return float(result)

    def _of(self, node, cases):
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float, str)):
            return node.value
        if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
            left, right = (_values(self._of(part, cases)) for part in (node.left, node.right))
            return OPERATORS[type(node.op)](left, right)
        if isinstance(node, ast.UnaryOp) and type(node.op) in OPERATORS:
            return OPERATORS[type(node.op)](_values(self._of(node.operand, cases)))
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in OPERATORS:
            left, right = (_values(self._of(part, cases)) for part in (node.left, node.comparators[0]))
            return OPERATORS[type(node.ops[0])](left, right)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS and node.args:
            return FUNCTIONS[node.func.id](*(_values(self._of(part, cases)) for part in node.args))
        if isinstance(node, ast.Subscript):
            return self._select(node, cases)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute):
            return self._case(node.value.value, cases).column(node.value.attr, node.attr)
        raise ExpressionError("'%s' is not understood" % ast.unparse(node))

    @staticmethod
    def _case(node, cases):
        if not isinstance(node, ast.Name) or node.id not in cases:
            raise ExpressionError("there is no case '%s'" % ast.unparse(node))
        return cases[node.id]

    def _select(self, node, cases):
        key = node.slice
        if isinstance(key, ast.Slice):
            wanted = slice(*(part and self._of(part, cases) for part in (key.lower, key.upper)))
        else:
            wanted = self._of(key, cases)
        at = node.value
        if isinstance(at, ast.Attribute) and at.attr in ("summary", "quality"):
            return self._case(at.value, cases).scalar(at.attr, wanted)
        column = self._of(at, cases)
        if not isinstance(column, Column):
            raise ExpressionError("'%s' has no rows to choose from" % ast.unparse(at))
        return column.select(wanted)
