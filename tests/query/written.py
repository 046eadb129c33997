"""A checked tree as one line, so that tests can say what a query means without its spans."""

from __future__ import annotations

from matrix.query import syntax as q


def written(node: object) -> str:
    """The line for a node."""
    match node:
        case q.Literal(value=value):
            return repr(value)
        case q.Field():
            return _field(node)
        case q.ColumnRef(name=name):
            return f"column {name}"
        case q.Now():
            return "now"
        case q.Ago(duration=duration):
            return f"ago({duration})"
        case q.And(items=items):
            return "(" + " and ".join(map(written, items)) + ")"
        case q.Or(items=items):
            return "(" + " or ".join(map(written, items)) + ")"
        case q.Not(item=item):
            return f"not {written(item)}"
        case q.Compare(op=op, left=left, right=right) | q.Arith(op=op, left=left, right=right):
            return f"({written(left)} {op} {written(right)})"
        case q.Coalesce(left=left, right=right):
            return f"({written(left)} ?? {written(right)})"
        case q.Negate(item=item):
            return f"-{written(item)}"
        case q.KindIs(item=item, kinds=kinds):
            return f"{written(item)} is {_kinds(kinds)}"
        case q.In(item=item, members=members):
            return f"{written(item)} in [{', '.join(map(written, members))}]"
        case q.Range(item=item, low=low, high=high):
            return f"{written(item)} in {written(low)}..{written(high)}"
        case q.Contains(item=item, part=part):
            return f"{written(item)} contains {written(part)}"
        case q.StartsWith(item=item, part=part):
            return f"{written(item)} starts {written(part)}"
        case q.EndsWith(item=item, part=part):
            return f"{written(item)} ends {written(part)}"
        case q.Matches(item=item, pattern=pattern, flags=flags):
            return f"{written(item)} ~ /{pattern}/{flags}"
        case q.Exists(item=item):
            return f"{written(item)} exists"
        case q.Call(name=name, arguments=arguments):
            return f"{name}({', '.join(map(written, arguments))})"
        case q.Quantified(at_least=low, at_most=high, related=related):
            return f"{low}..{'' if high is None else high} {written(related)}"
        case q.Related(relation=relation, kinds=kinds, where=where):
            return relation + (f" {_kinds(kinds)}" if kinds else "") + (f" [{written(where)}]" if where else "")
        case q.RelatedAggregate(function=function, related=related, argument=argument, percentile=percentile):
            of = f"{written(argument)} of " if argument else ""
            return f"{function}{percentile or ''}({of}{written(related)})"
        case q.AggregateCall(function=function, argument=argument, percentile=percentile):
            return f"{function}{percentile or ''}({written(argument) if argument else ''})"
        case q.MatchCount(sequence=sequence):
            return f"matches({written(sequence)})"
        case q.Sequence():
            return _sequence(node)
        case q.Caused(direction=direction, patterns=patterns, steps=steps):
            return f"{direction} {_patterns(patterns)}" + (f" within {steps}" if steps is not None else "")
    raise AssertionError(f"no line for {node!r}")


def _field(field: q.Field) -> str:
    origin = field.step or "^" * field.up
    path = "".join(f"[{part!r}]" if not isinstance(part, str) else f".{part}" for part in field.path)
    return ":".join(part for part in (origin, ".".join([*field.links, field.name]) + path) if part)


def _kinds(kinds: tuple[q.KindPattern, ...]) -> str:
    return "|".join(kind.name + ("*" if kind.is_prefix else "") for kind in kinds)


def _patterns(patterns: tuple[q.Pattern, ...]) -> str:
    found = []
    for pattern in patterns:
        what = _kinds(pattern.kinds) or (f"event {pattern.event}" if pattern.event else "event")
        found.append(what + (f" [{written(pattern.where)}]" if pattern.where else ""))
    return " or ".join(found)


def _distance(distance: q.Distance | None) -> str:
    return "" if distance is None else f" within {distance.amount} {distance.unit}"


def _sequence(sequence: q.Sequence) -> str:
    steps = []
    for step in sequence.steps:
        times = f" x{step.times}" if step.times != 1 else ""
        name = f" as {step.name}" if step.name else ""
        steps.append(f"{step.role} {_patterns(step.patterns)}{times}{name}{_distance(step.gap)}")
    text = " > ".join(steps) + _distance(sequence.within)
    text += "".join(f" without {without.role} {_patterns(without.patterns)}" for without in sequence.without)
    if sequence.same:
        text += " same " + ", ".join(map(written, sequence.same))
    if sequence.absent:
        absent = sequence.absent
        text += f" > no {absent.role} {_patterns(absent.patterns)}{_distance(absent.limit)}"
    return text
