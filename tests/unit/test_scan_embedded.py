"""SQL inside programs, annotations, mappers and lists of changes, with the line that it stands in."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.scan.embedded import embedded
from harness.scan.languages import languages_of
from tests.unit.test_scan_sql import rules

DAO = 'class Dao {\n  String a = "SELECT id FROM job WHERE state = \\"running now\\" AND k = ?";\n'
WHERE = {
    "java-escaped": ("Dao.java", DAO, {("SQL-19", 2)}),
    "java-joined": (
        "Dao.java",
        'class D {\n String q = "SELECT a " +\n   "FROM t" + suffix\n'
        '   + " WHERE b = IFNULL(c, 0) "\n   + "LIMIT 3, 4";\n}\n',
        {("SQL-9", 4), ("SQL-4", 5)},
    ),
    "java-appended": (
        "Dao.java",
        'sb.append("UPDATE a ");\nsb.append("JOIN b ON a.i = b.i ");\nsb.append("SET a.x = 1");\n',
        {("SQL-20", 2)},
    ),
    "java-text-block": (
        "Dao.java",
        'String q = """\n    SELECT NVL(a, 0)\n    FROM t\n    WHERE ROWNUM < 3\n    """;\n',
        {("SQL-10", 2), ("SQL-10", 4)},
    ),
    "jpa-native": (
        "Jobs.java",
        '@Query(value = "SELECT * FROM job LIMIT ?1, ?2",\n  nativeQuery = true)\nList<Job> all(int a, int b);\n',
        {("SQL-4", 1)},
    ),
    "jpa-jpql": (
        "Jobs.java",
        '@Query("SELECT j AS comment FROM Job j WHERE IFNULL(j.a, 0) = 1")\nList<Job> a();\n',
        set(),
    ),
    "jpa-names": (
        "Job.java",
        '@Entity\n@Table(name = "job")\nclass Job {\n  @Column(nullable = false, name = "comment")\n  String a;\n'
        '  @Column(name = "`index`")\n  String b;\n  @TableField("percent")\n  String c;\n}\n',
        {("SQL-8", 4), ("SQL-8", 8)},
    ),
    "kotlin": ("Dao.kt", 'val q = "SELECT a FROM t " +\n  "LIMIT 1, 2"\n', {("SQL-4", 2)}),
    "python-implicit": (
        "dao.py",
        'Q = (\n    "SELECT a FROM t "\n    f"WHERE b = {b} "\n    "AND c = IFNULL(d, 1)"\n)\n',
        {("SQL-9", 4)},
    ),
    "python-docstring": ("dao.py", "Q = '''\nSELECT a\nFROM t LIMIT %s, %s\n'''\n", {("SQL-4", 3)}),
    "go": (
        "dao.go",
        'var q = `SELECT a\nFROM t LIMIT 1, 2`\nvar r = "DELETE a FROM a JOIN b"\n',
        {("SQL-4", 2), ("SQL-20", 3)},
    ),
    "csharp": ("Dao.cs", 'var q = @"SELECT TOP 3 a\nFROM t WHERE b = ""x y""";\n', {("SQL-18", 1), ("SQL-19", 2)}),
    "php": ("dao.php", "<?php $q = 'SELECT a FROM t ' . $x . ' LIMIT 1, 2';\n", {("SQL-4", 1)}),
    "mapper": (
        "JobMapper.xml",
        '<mapper namespace="j">\n<!-- <select id="x">SELECT NVL(a, 0) FROM t</select> -->\n<select id="a">\n'
        'SELECT a FROM t <where><if test="b != null">\n AND b &lt; IFNULL(#{b}, 0)</if></where>\n'
        " LIMIT #{m}, #{n}\n</select>\n"
        '<insert id="b">\n<selectKey resultType="int">SELECT s.NEXTVAL FROM dual</selectKey>\n'
        "INSERT INTO t (comment) VALUES (1)\n"
        "</insert></mapper>\n",
        {("SQL-9", 5), ("SQL-4", 6), ("SQL-23", 9), ("SQL-10", 9), ("SQL-8", 10)},
    ),
    "liquibase-xml": (
        "changes.xml",
        '<databaseChangeLog>\n<changeSet id="1" author="a">\n<sql>UPDATE t SET a = 1 LIMIT 2</sql>\n</changeSet>\n'
        '<changeSet id="2" author="a">\n<sql dbms="mysql">\nSELECT IFNULL(a, 0) FROM t</sql>\n'
        "</changeSet></databaseChangeLog>\n",
        {("SQL-20", 3), ("SQL-9", 7)},
    ),
    "liquibase-yaml": (
        "changes.yaml",
        "databaseChangeLog:\n- changeSet:\n    id: 1\n    changes:\n    - sql:\n        sql: |\n          SELECT 1;\n"
        "          SELECT IFNULL(a, 0) FROM t;\n    - sql:\n        sql: UPDATE t SET a = 1 LIMIT 2\n",
        {("SQL-9", 8), ("SQL-20", 10)},
    ),
    "liquibase-sql": (
        "changes.sql",
        "--liquibase formatted sql\n--changeset a:1 dbms:mysql\nSELECT `a` FROM t;\n--changeset a:2 dbms:postgresql\n"
        "SELECT a FROM t;\n--changeset a:3\nSELECT a FROM t LIMIT 1, 2;\n",
        {("SQL-1", 3), ("SQL-4", 7)},
    ),
    "prose": ("a.java", 'String s = "Select the user from the list";\nString t = "Update it, then SET it";\n', set()),
    "other-yaml": ("a.yaml", "sql: SELECT IFNULL(a, 0) FROM t\n", set()),
}


@pytest.mark.parametrize("kind", WHERE)
def test_sql_is_found_where_it_stands(kind: str) -> None:
    name, text, expected = WHERE[kind]
    databases = ("postgresql", "dameng-dm8")
    assert rules(text, *databases, name=name) == expected


def test_a_statement_of_a_mapper_is_for_the_database_that_it_names() -> None:
    text = (
        '<mapper>\n<select id="a" databaseId="mysql">SELECT `a` FROM t</select>\n'
        '<select id="a" databaseId="postgresql">SELECT a FROM t</select>\n</mapper>\n'
    )
    assert rules(text, "kingbase-v8:pg", name="M.xml") == set()
    assert rules(text, "dameng-dm8", name="M.xml") == {("SQL-1", 2)}


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(["a.java", "a.py", "a.go", "a.cs", "M.xml", "c.yaml", "a.php"]),
    st.lists(
        st.sampled_from(
            [
                *"\"'`\\+.)(;@\n<>{}",
                "SELECT a FROM t ",
                "UPDATE t SET ",
                "<mapper>",
                "<select id=''>",
                "</select>",
                '"""',
                "x",
                "databaseChangeLog:",
                "sql: |\n",
                "  ",
                "@Column(name = ",
                ".append(",
                "IFNULL(a, 0)",
            ]
        ),
        max_size=40,
    ),
)
def test_texts_of_any_shape_are_read(name: str, words: list[str]) -> None:
    text = "".join(words)
    lines = text.count("\n")
    assert all(0 <= each.above <= lines + 1 for each in embedded(text, languages_of(name, text)))
