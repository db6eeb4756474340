<?php
// Keeps notes in MariaDB or PostgreSQL: an example, in place of which your product goes.
declare(strict_types=1);

/** Status and text of the answer to a request for one note. */
function note(PDO $database, string $method, string $key): array
{
    if ($method === 'GET') {
        $rows = $database->prepare('SELECT body FROM notes WHERE name = ?');
        $rows->execute([$key]);
        $text = $rows->fetchColumn();
        return $text === false ? [404, 'no such note'] : [200, $text];
    }
    if ($method !== 'PUT' && $method !== 'DELETE') {
        return [405, ''];
    }
    $database->beginTransaction();
    $removal = $database->prepare('DELETE FROM notes WHERE name = ?');
    $removal->execute([$key]);
    $known = $removal->rowCount() > 0;
    if ($method === 'PUT') {
        $database->prepare('INSERT INTO notes (name, body) VALUES (?, ?)')
            ->execute([$key, file_get_contents('php://input')]);
    }
    $database->commit();
    return $method === 'PUT' ? [$known ? 200 : 201, ''] : [$known ? 204 : 404, ''];
}

/** Status and text of the answer. */
function answer(array $config): array
{
    $path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
    if ($path === '/health') {
        return [200, "good\n"];
    }
    if (!hash_equals($config['token'], $_SERVER['HTTP_X_TOKEN'] ?? '')) {
        return [401, ''];
    }
    if (!preg_match('#^/notes/([A-Za-z0-9-]{1,64})$#', (string) $path, $match)) {
        return [404, ''];
    }
    $database = new PDO($config['dsn'], $config['user'], $config['password'], [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION]);
    return note($database, $_SERVER['REQUEST_METHOD'], $match[1]);
}

ini_set('display_errors', '0'); // what went wrong is in the log
[$status, $text] = answer(require '/etc/notes/config.php');
http_response_code($status);
header('Content-Type: text/plain; charset=utf-8');
echo $text;
