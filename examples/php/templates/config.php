<?php
// Written by the harness for one cell.
return [
{% if db.kind == "postgresql" %}
    'dsn' => 'pgsql:host={{ db.host }};port={{ db.port }};dbname={{ db.name }}',
{% else %}
    'dsn' => 'mysql:host={{ db.host }};port={{ db.port }};dbname={{ db.name }};charset=utf8mb4',
{% endif %}
    'user' => '{{ db.user }}',
    'password' => '{{ db.password }}',
    'token' => '{{ secrets.token }}',
];
