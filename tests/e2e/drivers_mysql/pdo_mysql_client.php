<?php
// PHP's PDO (mysqlnd): values written into the text by PDO itself, or statements prepared on the server. The rules are in mysql_dbapi.py.
declare(strict_types=1);
require __DIR__ . '/../drivers/common.php';
$shared = json_decode(file_get_contents(getenv('DRIVER_STATEMENTS')), true);

function open_one(array $options = [], string $database = 'shop', string $more = ';charset=utf8mb4', ?string $password = null, ?string $user = null): PDO {
    return new PDO('mysql:host=' . getenv('MYSQL_HOST') . ';port=' . getenv('MYSQL_PORT') . ($database === '' ? '' : ";dbname=$database") . $more, $user ?? getenv('MYSQL_USER'),
        $password ?? getenv('MYSQL_PASSWORD'), $options + [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION, PDO::ATTR_EMULATE_PREPARES => false]);
}

function told(PDOException $error): array { return ['error' => $error->errorInfo ?? [$error->getCode(), $error->getMessage()]]; }
function refusal(callable $deed): mixed {
    try { return $deed(); } catch (PDOException $error) { return told($error); }
}
function bin(mixed $value): mixed { return is_string($value) && !preg_match('//u', $value) ? bin2hex($value) : $value; }
function fields(PDOStatement $statement): array {
    return array_map(function (int $at) use ($statement) {
        $meta = $statement->getColumnMeta($at);
        return $meta === false ? null : [$meta['name'], $meta['native_type'] ?? null, $meta['table'], $meta['len'], $meta['precision'], $meta['flags']];
    }, range(0, $statement->columnCount() - 1));
}
function result(PDO $db, PDOStatement $statement): array {
    if ($statement->columnCount() === 0) return [$statement->rowCount(), $db->lastInsertId()];
    return [fields($statement), array_map(fn($row) => array_map('bin', $row), $statement->fetchAll(PDO::FETCH_NUM))];
}

// All that a text answers: each result, then an error if there is one.
function all_of(PDO $db, callable $begin): array {
    $seen = [];
    try {
        $statement = $begin();
        if ($statement === false) return [$db->errorInfo()];  // PDO itself did not understand the answer
        do { $seen[] = result($db, $statement); } while ($statement->nextRowset());
        $statement->closeCursor();
    } catch (PDOException | ValueError $error) {
        $seen[] = $error instanceof ValueError ? $error->getMessage() : told($error);
    }
    return $seen;
}
function ask(PDO $db, string $text): array { return all_of($db, fn() => $db->query($text)); }
function run(PDO $db, string $text, array $bound = [], array $options = []): array {
    return all_of($db, function () use ($db, $text, $bound, $options) { $statement = $db->prepare($text, $options); $statement->execute($bound); return $statement; });
}

const WRITTEN = [PDO::ATTR_EMULATE_PREPARES => true];
$scenarios = [];
foreach ($shared['scenarios'] as $name => $texts)
    $scenarios[$name] = fn(PDO $db) => array_map(fn($text) => ask($db, $text), $texts);

$scenarios += [
    'commits' => function (PDO $db) {
        ask($db, 'TRUNCATE TABLE items');
        $db->beginTransaction(); run($db, 'INSERT INTO items VALUES (?, ?)', [1, 'committed']); $db->commit();
        $db->beginTransaction(); run($db, 'INSERT INTO items VALUES (?, ?)', [2, 'rolled back']); $db->rollBack();
        $db->setAttribute(PDO::ATTR_AUTOCOMMIT, 0);
        run($db, 'INSERT INTO items VALUES (?, ?)', [3, 'committed']);
        $seen = [$db->inTransaction(), run($db, 'INSERT INTO items VALUES (?, ?)', [3, 'again']), $db->commit()];
        $db->setAttribute(PDO::ATTR_AUTOCOMMIT, 1);
        $db->beginTransaction(); ask($db, 'CREATE TABLE made_in_between (n INT)');
        $seen[] = [$db->inTransaction(), refusal(fn() => $db->rollBack())];
        ask($db, 'DROP TABLE made_in_between');
        return [$seen, run($db, 'SELECT id, name, in_transaction(), @@autocommit FROM items ORDER BY id')];
    },
    'prepared' => function (PDO $db) use ($shared) {
        $statement = $db->prepare('SELECT ? * 2 + 1');
        $seen = [];
        for ($number = 0; $number < 25; $number++) { $statement->execute([$number]); $seen[] = $statement->fetchAll(PDO::FETCH_NUM); }
        $many = [];
        for ($number = 0; $number < 60; $number++) $many[] = $db->prepare("SELECT ? + $number");
        for ($turn = 0; $turn < 2; $turn++) foreach ($many as $one) { $one->execute([$turn]); $seen[] = $one->fetchAll(PDO::FETCH_NUM); }
        $many = [];
        foreach ([null, true, -1, 1.5, 'Größe ≠ 漢字 🙂', '', "\0\xff'\\", str_repeat('x', 70000)] as $value) $seen[] = run($db, 'SELECT HEX(?), ? IS NULL', [$value, $value]);
        foreach ($shared['parameters'] as $number => $row)
            $seen[] = run($db, 'INSERT INTO typed (id, ' . implode(', ', array_keys($row)) . ') VALUES (?' . str_repeat(', ?', count($row)) . ')', [100 + $number, ...array_values($row)]);
        $seen[] = run($db, 'SELECT * FROM typed WHERE id >= ? ORDER BY id', [100]);
        $seen[] = run($db, 'DELETE FROM typed WHERE id >= ?', [100]);
        foreach (['SELECT nonsense', 'SELECT * FROM nowhere', 'SELEC', 'SELECT 1; SELECT 2', 'CALL two_results()', 'CALL fails()', 'SHOW WARNINGS', 'SELECT 1/0', 'DROP TABLE IF EXISTS nowhere',
            'INSERT INTO children VALUES (1, 4711)', 'CALL adds(3, @s)', 'SELECT @s', 'SET @s = NULL'] as $text) $seen[] = run($db, $text);
        $file = fopen('php://memory', 'r+');
        fwrite($file, str_repeat("piece \0\xff", 30000)); rewind($file);
        $long = $db->prepare('SELECT LENGTH(?), MD5(?)');
        $long->bindValue(1, str_repeat('y', 100000), PDO::PARAM_LOB); $long->bindParam(2, $file, PDO::PARAM_LOB);
        $long->execute();
        $seen[] = $long->fetchAll(PDO::FETCH_NUM);
        return $seen;
    },
    'written' => function (PDO $db) use ($shared) {
        $seen = [];
        foreach ([null, true, -1, 1.5, "Größe ≠ 漢字 🙂 '\"\\%\n", '', "\0\xff'\\"] as $value) $seen[] = run($db, 'SELECT HEX(:v), :v IS NULL', ['v' => $value], WRITTEN);
        foreach ($shared['parameters'] as $number => $row)
            $seen[] = run($db, 'REPLACE INTO typed (id, ' . implode(', ', array_keys($row)) . ') VALUES (?' . str_repeat(', ?', count($row)) . ')', [100 + $number, ...array_values($row)], WRITTEN);
        return [...$seen, ask($db, 'SELECT * FROM typed WHERE id >= 100 ORDER BY id'), ask($db, 'DELETE FROM typed WHERE id >= 100'), bin($db->quote("it's \\ \0 ä"))];
    },
    'types' => fn(PDO $db) => array_map(fn($value) => [$value, ask($db, "SELECT $value AS v"), run($db, "SELECT $value AS v", [], WRITTEN)], $shared['values']),
    'typed_rows' => fn(PDO $db) => [ask($db, 'SELECT * FROM typed ORDER BY id'), run($db, 'SELECT * FROM typed ORDER BY id'), run($db, 'SELECT * FROM typed ORDER BY id', [], WRITTEN)],
    'multi' => function () {
        $mine = open_one(WRITTEN);
        return array_map(fn($text) => ask($mine, $text), ["SELECT 1; SELECT 'ä', 2; DO 1; SELECT 3", 'SELECT 1; SELECT nonsense; SELECT 2', 'BEGIN; SELECT in_transaction()',
            'ROLLBACK; SELECT in_transaction()', 'CALL two_results(); SELECT 1', 'SET @a = 7; SELECT @a; USE other; SELECT DATABASE()', 'SELECT @a, DATABASE()']);
    },
    'one_only' => fn() => array_map(fn($text) => ask(open_one(WRITTEN + [PDO::MYSQL_ATTR_MULTI_STATEMENTS => false]), $text), ['SELECT 1; SELECT 2', 'SELECT 1']),
    'large' => function (PDO $db) {
        $seen = [];
        foreach ([5000000, 17000000] as $number => $size) {
            $body = str_repeat("0123456789\0\xff'\\", intdiv($size, 14));
            foreach ([[], WRITTEN] as $way) {
                $seen[] = run($db, 'REPLACE INTO large VALUES (?, ?)', [$number, $body], $way);
                $statement = $db->prepare('SELECT LENGTH(body), MD5(body), body FROM large WHERE id = ?', $way);
                $statement->execute([$number]);
                $row = $statement->fetch(PDO::FETCH_NUM);
                $seen[] = [$row[0], $row[1] === md5($body), $row[2] === $body];
                $statement->closeCursor();
            }
        }
        return [$seen, ask($db, 'TRUNCATE TABLE large')];
    },
    'streaming' => function () {
        $seen = [];
        foreach ([[], WRITTEN] as $way) {
            $mine = open_one([PDO::MYSQL_ATTR_USE_BUFFERED_QUERY => false] + $way);
            $statement = $mine->prepare("SELECT seq, REPEAT('x', 500) FROM seq_1_to_20000");
            $statement->execute();
            $sum = 0;
            while ($row = $statement->fetch(PDO::FETCH_NUM)) $sum += (int) $row[0] + strlen($row[1]);
            $statement->execute();
            $seen[] = [$sum, $statement->fetch(PDO::FETCH_NUM)[0], refusal(fn() => $mine->query('SELECT 1')->fetchAll())];
            $statement->closeCursor();  // the rest is read away
            $seen[] = ask($mine, "SELECT 'usable'");
        }
        return $seen;
    },
    'logins' => function () {
        $seen = [];
        foreach ([[], [PDO::MYSQL_ATTR_INIT_COMMAND => "SET @first = 'words', time_zone = '+05:00'"], [PDO::MYSQL_ATTR_FOUND_ROWS => true], [PDO::ATTR_STRINGIFY_FETCHES => true],
            [PDO::MYSQL_ATTR_IGNORE_SPACE => true], [PDO::ATTR_AUTOCOMMIT => 0]] as $options) {
            foreach (['shop', 'other', ''] as $database) {
                $mine = open_one($options, $database);
                $seen[] = [ask($mine, 'SELECT DATABASE(), @first, @@time_zone, @@sql_mode, @@autocommit, 1.5'), ask($mine, 'UPDATE shop.items SET name = name WHERE id > 0'),
                    $mine->getAttribute(PDO::ATTR_SERVER_VERSION), $mine->getAttribute(PDO::ATTR_CLIENT_VERSION), strtok($mine->getAttribute(PDO::ATTR_SERVER_INFO), ':')];
            }
        }
        // A client that names no character set takes the one of the greeting.
        foreach (['', ';charset=latin1'] as $charset) $seen[] = ask(open_one([], 'shop', $charset), "SELECT @@character_set_client, @@collation_connection, HEX('ä')");
        foreach ([['no_such_database', null, null], ['shop', 'wrong', null], ['shop', null, 'nobody'], ['mysql', null, null]] as [$database, $password, $user])
            $seen[] = refusal(fn() => get_class(open_one([], $database, '', $password, $user)));
        return $seen;
    },
];

run_scenarios($scenarios, fn() => open_one());
