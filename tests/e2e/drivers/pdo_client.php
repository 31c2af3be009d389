<?php
// PHP's PDO: statements prepared on the server, DEALLOCATE by name, COPY, large objects. The rules are in common.py.
declare(strict_types=1);
require __DIR__ . '/common.php';
const OWNER = 'php-pdo';
const VALUES = ['true', '(-32768)::int2', '9223372036854775807::int8', '0.1::float8', '12345678901234567890.0123456789::numeric', "'Größe ≠ 漢字 🙂'::text",
    "''::text", "'{\"b\": [1, 2.5, null], \"a\": \"ü\"}'::jsonb", "'2024-02-29 12:34:56.789012+02'::timestamptz",
    "'00112233-4455-6677-8899-aabbccddeeff'::uuid", 'ARRAY[1, 2, NULL]::int4[]', "ARRAY['a', 'b,\"c', NULL]::text[]", 'NULL::int4', "'192.168.1.7'::inet",
    "'3 days 04:05:06.7'::interval", "'[1,10)'::int4range", "repeat('long', 5000)"];
const USER_VALUES = ["'green'::drivers.colour", "ARRAY['red', 'blue', NULL]::drivers.colour[]", "ROW(1, 2, 'a b')::drivers.spot", '55::drivers.percent',
    "'[1.5,2.5)'::drivers.span", "'sad'::mood"];

function open_one(array $options = []): PDO {
    $dsn = sprintf('pgsql:host=%s;port=%s;dbname=%s;sslmode=disable', getenv('PGHOST'), getenv('PGPORT'), getenv('PGDATABASE'));
    return new PDO($dsn, getenv('PGUSER'), null, $options + [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION, PDO::ATTR_DEFAULT_FETCH_MODE => PDO::FETCH_NUM]);
}

function rows(PDO $on, string $text, array $bound = []): array {
    $statement = $on->prepare($text);
    $statement->execute($bound);
    return $statement->fetchAll();
}

function refusal(callable $deed): array {
    try {
        $deed();
    } catch (PDOException $error) {
        return [$error->errorInfo[0] ?? '?', strtok($error->getMessage(), "\n")];
    }
    return ['no error'];
}

function clear(PDO $db): void { rows($db, 'DELETE FROM drivers.items WHERE owner = ?', [OWNER]); }
function insert(PDO $db, int $number, string $name): void { rows($db, 'INSERT INTO drivers.items (owner, id, name) VALUES (?, ?, ?)', [OWNER, $number, $name]); }
function items(PDO $db): array { return rows($db, 'SELECT id, name FROM drivers.items WHERE owner = ? ORDER BY id', [OWNER]); }

function typed(PDO $db, array $list): array {
    return array_map(fn($value) => [$value, rows($db, "SELECT $value"), $db->query("SELECT $value")->fetchAll()], $list);
}

$scenarios = [
    'transactions' => function (PDO $db) {
        clear($db);
        $db->beginTransaction(); insert($db, 1, 'committed'); $db->commit();
        $db->beginTransaction(); insert($db, 2, 'rolled back'); $db->rollBack();
        $db->beginTransaction();
        insert($db, 3, 'before the savepoint');
        $db->exec('SAVEPOINT s'); insert($db, 4, 'given up'); $db->exec('ROLLBACK TO SAVEPOINT s');
        insert($db, 5, 'after the savepoint');
        $db->commit();
        $db->exec('BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY');
        $seen = [rows($db, 'SHOW transaction_isolation'), refusal(fn() => insert($db, 6, 'refused')), $db->inTransaction()];
        $db->exec('ROLLBACK');
        return [$seen, items($db), $db->inTransaction()];
    },
    'prepared' => function (PDO $db) {
        $statement = $db->prepare('SELECT ?::int * 2 + 1');
        $repeated = [];
        for ($number = 0; $number < 25; $number++) { $statement->execute([$number]); $repeated[] = $statement->fetchColumn(); }
        $sum = 0;
        for ($turn = 0; $turn < 2; $turn++) for ($number = 0; $number < 60; $number++) $sum += rows($db, "SELECT ?::int + $number", [$turn])[0][0];
        $emulated = open_one([PDO::ATTR_EMULATE_PREPARES => true]);
        $unnamed = open_one([PDO::PGSQL_ATTR_DISABLE_PREPARES => true]);
        return [$repeated, $sum, rows($emulated, 'SELECT ?::int, ?', [1, 'ü']), rows($unnamed, 'SELECT ?::int, ?::text', [1, 'ü']),
            refusal(fn() => rows($db, 'SELECT nothing(?)', [1])), rows($db, "SELECT 'usable'")];
    },
    'cursors' => function (PDO $db) {
        $db->beginTransaction();
        $cursor = $db->prepare('SELECT n, n * ?::int FROM generate_series(1, 200) AS n', [PDO::ATTR_CURSOR => PDO::CURSOR_SCROLL]);
        $cursor->execute([3]);
        $seen = [$cursor->fetch(PDO::FETCH_NUM, PDO::FETCH_ORI_NEXT), $cursor->fetch(PDO::FETCH_NUM, PDO::FETCH_ORI_ABS, 50),
            $cursor->fetch(PDO::FETCH_NUM, PDO::FETCH_ORI_PRIOR), $cursor->fetch(PDO::FETCH_NUM, PDO::FETCH_ORI_LAST)];
        $cursor = null;
        $db->exec('DECLARE kept CURSOR WITH HOLD FOR SELECT * FROM generate_series(1, 20)');
        $db->commit();
        $seen[] = $db->query('FETCH 3 FROM kept')->fetchAll();
        $seen[] = $db->query('FETCH 2 FROM kept')->fetchAll();
        $db->exec('CLOSE kept');
        return $seen;
    },
    'copy' => function (PDO $db) {
        clear($db);
        $lines = array_map(fn($n) => OWNER . "\t$n\trow $n\t\\N", range(0, 1999));
        $in = $db->pgsqlCopyFromArray('drivers.items', $lines);
        $out = $db->pgsqlCopyToArray('drivers.items', "\t", '\\\\N', 'id, name');
        $failed = refusal(fn() => $db->pgsqlCopyFromArray('drivers.items', [OWNER . "\tnonsense\tx\t1"]));
        return [$in, count($out) >= 2000, $failed, rows($db, 'SELECT count(*), sum(id) FROM drivers.items WHERE owner = ?', [OWNER])];
    },
    'notify' => function (PDO $db) {
        $db->exec('LISTEN pdo_news');
        $speaker = open_one();
        for ($number = 0; $number < 5; $number++) rows($speaker, 'SELECT pg_notify(?, ?)', ['pdo_news', "item $number"]);
        $heard = [];
        for ($turn = 0; $turn < 100 && count($heard) < 5; $turn++)
            if ($news = $db->pgsqlGetNotify(PDO::FETCH_ASSOC, 200)) $heard[] = [$news['message'], $news['payload']];
        $db->exec('UNLISTEN *');
        return $heard;
    },
    'timeout' => function (PDO $db) {  // it has no cancel; the server's clock does it
        $db->beginTransaction();
        $db->exec("SET LOCAL statement_timeout = '50ms'");
        $seen = refusal(fn() => rows($db, 'SELECT pg_sleep(?)', [30]));
        $db->rollBack();
        return [$seen, rows($db, "SELECT 'usable'")];
    },
    'errors' => function (PDO $db) {
        clear($db);
        $seen = [];
        foreach (['SELEC 1', 'SELECT 1/0', 'SELECT * FROM nowhere', 'SELECT nothing()', "SELECT 'x'::int", "INSERT INTO drivers.items (owner, id) VALUES ('nobody', 1)"] as $text)
            array_push($seen, refusal(fn() => $db->exec($text)), refusal(fn() => rows($db, $text)));
        insert($db, 1, 'first');
        $db->beginTransaction();
        insert($db, 2, 'lost with its transaction');
        array_push($seen, refusal(fn() => insert($db, 1, 'again')), refusal(fn() => rows($db, 'SELECT 1')));
        $db->rollBack();
        return [$seen, items($db), rows($db, "SELECT 'usable'")];
    },
    'types' => fn(PDO $db) => typed($db, VALUES),
    'user_types' => fn(PDO $db) => typed($db, USER_VALUES),
    'batch' => function (PDO $db) {
        clear($db);
        $statement = $db->prepare('INSERT INTO drivers.items (owner, id, name) VALUES (?, ?, ?) RETURNING id');
        $sum = 0;
        $db->beginTransaction();
        for ($number = 0; $number < 100; $number++) { $statement->execute([OWNER, $number, "row $number"]); $sum += $statement->fetchColumn(); }
        $db->commit();
        return [$sum, rows($db, 'SELECT count(*), sum(id) FROM drivers.items WHERE owner = ?', [OWNER])];
    },
    'parameters' => function () {
        $mine = open_one();
        $show = fn() => rows($mine, "SELECT current_setting('work_mem'), current_setting('search_path'), current_setting('TimeZone')");
        $seen = [$show()];
        $mine->exec("SET work_mem = '7MB'; SET search_path = drivers, public");
        $seen[] = $show();
        $mine->beginTransaction(); $mine->exec("SET work_mem = '9MB'"); $mine->exec("SET LOCAL TimeZone = 'Asia/Tokyo'");
        $seen[] = $show();
        $mine->rollBack();
        return [$seen, $show(), $mine->getAttribute(PDO::ATTR_SERVER_INFO) !== '', $mine->getAttribute(PDO::ATTR_CONNECTION_STATUS)];
    },
    'session_state' => function (PDO $db) {
        $db->exec('CREATE TEMPORARY TABLE mine (n int)');
        for ($number = 0; $number < 5; $number++) rows($db, 'INSERT INTO mine VALUES (?)', [$number]);
        $seen = [rows($db, 'SELECT count(*), sum(n) FROM mine')];
        $db->exec('DROP TABLE mine');
        rows($db, 'SELECT pg_advisory_lock(4721)');
        $seen[] = rows($db, 'SELECT pg_advisory_unlock(4721), pg_advisory_unlock(4721)');
        $db->exec('DISCARD TEMP');
        return $seen;
    },
    'large_objects' => function (PDO $db) {
        $db->beginTransaction();
        $oid = $db->pgsqlLOBCreate();
        $stream = $db->pgsqlLOBOpen($oid, 'w');
        $written = fwrite($stream, str_repeat('abc', 50000));
        fclose($stream);
        $stream = $db->pgsqlLOBOpen($oid, 'r');
        fseek($stream, 75000);
        $part = fread($stream, 6);
        fclose($stream);
        $gone = $db->pgsqlLOBUnlink($oid);
        $db->commit();
        return [$written, $part, $gone];
    },
    'parallel' => function () {  // sessions of one process, taking turns
        $all = $statements = [];
        for ($number = 0; $number < 16; $number++) {
            $all[] = $one = open_one();
            $one->exec("SET work_mem = '" . (1000 + $number) . "kB'");
            $statements[] = $one->prepare("SELECT ?::int * $number, current_setting('work_mem')");
        }
        for ($turn = 0; $turn < 10; $turn++)
            for ($number = 0; $number < 16; $number++) {
                $statements[$number]->execute([$turn]);
                if ($statements[$number]->fetch() !== [$turn * $number, (1000 + $number) . 'kB']) throw new Exception("session $number");
                if ($turn % 3 === 0 && refusal(fn() => $all[$number]->exec("SELECT $number/0"))[0] !== '22012') throw new Exception('no division by zero');
            }
        return count($all);
    },
];

run_scenarios($scenarios, fn() => open_one());
