"""The compatibility table: each statement of a product against each declared database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from harness.model.definitions import Database, Rule
from harness.model.finding import Targets
from harness.model.sqlrow import Outcome, Rewriting, SqlAnswer, SqlHit, SqlRow, SqlStatement
from harness.scan.sqldialects import DIALECTS
from harness.scan.sqlrules import refuses
from harness.scan.sqltokens import parsed

MOST = 5000  #: statements of an input that the table has rows for
LONGEST = 4000  #: characters of a statement that are kept
#: Rules whose statements are not written anew: sqlglot leaves out what the target demands, or changes what they mean.
_NOT_REWRITTEN = frozenset(("SQL-5", "SQL-7", "SQL-14", "SQL-15", "SQL-16", "SQL-20", "SQL-22", "SQL-27"))


def rewritings(
    text: str, dialect: str, hits: Sequence[SqlHit], targets: Iterable[str], look: Callable[[str, str], list[SqlHit]]
) -> dict[str, Rewriting]:
    """A statement as sqlglot writes it for other dialects, where it can without leaving anything out.

    Args:
        text: The statement, which the parser understands.
        dialect: What sqlglot calls its dialect.
        hits: The rules that are about it.
        targets: Dialects that it may be written in.
        look: The rules that are about a text in a dialect.
    """
    from sqlglot import ErrorLevel
    from sqlglot.errors import SqlglotError

    if not hits or {hit.rule for hit in hits} & _NOT_REWRITTEN:
        return {}
    tree = parsed(text, dialect)
    written: dict[str, Rewriting] = {}
    for target in targets:
        if target == dialect or tree is None:
            continue
        try:
            anew = tree.copy().sql(dialect=target, unsupported_level=ErrorLevel.RAISE)
        except (SqlglotError, RecursionError, ValueError, AttributeError, TypeError):
            continue
        if len(anew) <= LONGEST and parsed(anew, target) is not None:
            written[target] = Rewriting(text=anew, hits=tuple(look(anew, target)))
    return written


def rows(
    statements: Iterable[SqlStatement],
    rules: Sequence[Rule],
    targets: Targets,
    meant: Callable[[str, str, Database], bool],
) -> Iterator[SqlRow]:
    """A row for each statement. ``meant``: whether a file for a word and a family is for a database too."""
    by_id = {rule.id: rule for rule in rules}
    databases = [database for database in targets.databases.values() if database.speaks is not None]
    for statement in statements:
        answers = tuple(_answer(statement, database, by_id, meant) for database in databases)
        if answers:
            yield SqlRow(statement=statement, answers=answers)


def _answer(
    statement: SqlStatement, database: Database, rules: dict[str, Rule], meant: Callable[[str, str, Database], bool]
) -> SqlAnswer:
    name, mode = database.database, database.mode or ""
    if statement.word and not meant(statement.word, statement.family, database):
        return SqlAnswer(database=name, mode=mode, outcome="other")
    against = _against(statement.hits, database, rules)
    grave = [hit for hit in against if rules[hit.rule].severity != "info"]
    outcome: Outcome
    if grave:
        outcome = "refused"
    elif against:
        outcome = "noted"
    else:
        outcome = "clear" if statement.reading == "parsed" else "unknown"
    return SqlAnswer(
        database=name,
        mode=mode,
        outcome=outcome,
        rules=tuple(dict.fromkeys(hit.rule for hit in against)),
        whats=tuple(dict.fromkeys(hit.what for hit in against)),
        rewriting=_rewriting(statement, database, rules) if grave else "",
    )


def _against(hits: Iterable[SqlHit], database: Database, rules: dict[str, Rule]) -> list[SqlHit]:
    mode = database.speaks
    assert mode is not None
    return [hit for hit in hits if refuses(rules[hit.rule], hit.what, hit.role, mode, database.database)]


def _rewriting(statement: SqlStatement, database: Database, rules: dict[str, Rule]) -> str:
    """As the statement may be written for a database: only where no rule warns of it any more."""
    mode = database.speaks
    assert mode is not None
    written = statement.rewritings.get(DIALECTS.get(mode.sql, ""))
    if written is None:
        return ""
    left = [hit for hit in _against(written.hits, database, rules) if rules[hit.rule].severity != "info"]
    return "" if left else written.text
