<?php
// PHP's mysqli (mysqlnd): texts, statements prepared on the server, cursors, change of user. The rules are in mysql_dbapi.py.
declare(strict_types=1);
require __DIR__ . '/../drivers/common.php';
$shared = json_decode(file_get_contents(getenv('DRIVER_STATEMENTS')), true);
mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);

function open_one(string $charset = 'utf8mb4', array $options = []): mysqli {
    $made = mysqli_init();
    foreach ($options as $option => $value) $made->options($option, $value);
    $made->real_connect(getenv('MYSQL_HOST'), getenv('MYSQL_USER'), getenv('MYSQL_PASSWORD'), getenv('MYSQL_DATABASE'), (int) getenv('MYSQL_PORT'));
    if ($charset !== '') $made->set_charset($charset);
    return $made;
}

function told(mysqli_sql_exception $error): array { return ['error' => [$error->getCode(), $error->getSqlState(), $error->getMessage()]]; }
function refusal(callable $deed): mixed {
    try { return $deed(); } catch (mysqli_sql_exception $error) { return told($error); }
}
function fields(mysqli_result $result): array { return array_map(fn($field) => array_map(fn($part) => is_string($part) ? bin($part) : $part, (array) $field), $result->fetch_fields()); }
function bin(mixed $value): mixed { return is_string($value) && !preg_match('//u', $value) ? bin2hex($value) : $value; }
function rows(mysqli_result $result): array { return array_map(fn($row) => array_map('bin', $row), $result->fetch_all()); }

// All that a text answers: each result, then an error if there is one.
function ask(mysqli $db, string $text): array {
    $seen = [];
    try {
        $db->multi_query($text);
        do {
            $result = $db->store_result();
            $seen[] = $result ? [fields($result), rows($result), $db->warning_count] : [$db->affected_rows, $db->insert_id, $db->warning_count, $db->info];
        } while ($db->next_result());
    } catch (mysqli_sql_exception | ValueError $error) {
        $seen[] = $error instanceof ValueError ? $error->getMessage() : told($error);
    }
    return $seen;
}

function run(mysqli $db, string $text, array $bound = []): mixed {
    return refusal(function () use ($db, $text, $bound) {
        $statement = $db->prepare($text);
        $statement->execute($bound ?: null);
        $seen = [];
        do {
            $result = $statement->get_result();
            $seen[] = $result ? [fields($result), rows($result)] : [$statement->affected_rows, $statement->insert_id, $db->warning_count, $statement->param_count];
        } while ($statement->more_results() && $statement->next_result());
        $statement->close();
        return $seen;
    });
}

$scenarios = [];
foreach ($shared['scenarios'] as $name => $texts)
    $scenarios[$name] = fn(mysqli $db) => array_map(fn($text) => ask($db, $text), $texts);

$scenarios += [
    'commits' => function (mysqli $db) {
        ask($db, 'TRUNCATE TABLE items');
        $db->autocommit(false); run($db, 'INSERT INTO items VALUES (?, ?)', [1, 'committed']); $db->commit();
        run($db, 'INSERT INTO items VALUES (?, ?)', [2, 'rolled back']); $db->rollback(); $db->autocommit(true);
        $db->begin_transaction(MYSQLI_TRANS_START_READ_ONLY, 'named');
        $seen = [run($db, 'INSERT INTO items VALUES (?, ?)', [3, 'refused'])];
        $db->rollback();
        $db->begin_transaction(); run($db, 'INSERT INTO items VALUES (4, ?)', ['kept']); $db->savepoint('s'); run($db, 'INSERT INTO items VALUES (5, ?)', ['given up']);
        ask($db, 'ROLLBACK TO s'); $db->release_savepoint('s'); $db->commit(MYSQLI_TRANS_COR_AND_CHAIN);
        $seen[] = ask($db, 'SELECT in_transaction()');
        $db->rollback();
        return [$seen, run($db, 'SELECT id, name, in_transaction() FROM items ORDER BY id')];
    },
    'prepared' => function (mysqli $db) use ($shared) {
        $statement = $db->prepare('SELECT ? * 2 + 1');
        $seen = [];
        for ($number = 0; $number < 25; $number++) { $statement->execute([$number]); $seen[] = $statement->get_result()->fetch_row(); }
        $many = [];
        for ($number = 0; $number < 60; $number++) $many[] = $db->prepare("SELECT ? + $number");
        for ($turn = 0; $turn < 2; $turn++) foreach ($many as $one) { $one->execute([$turn]); $seen[] = $one->get_result()->fetch_row(); }
        foreach ($many as $one) $one->close();
        foreach ([null, true, -1, 1.5, 'Größe ≠ 漢字 🙂', '', "\0\xff'\\", str_repeat('x', 70000)] as $value) $seen[] = run($db, 'SELECT HEX(?), ? IS NULL', [$value, $value]);
        foreach ($shared['parameters'] as $number => $row)
            $seen[] = run($db, 'INSERT INTO typed (id, ' . implode(', ', array_keys($row)) . ') VALUES (?' . str_repeat(', ?', count($row)) . ')', [100 + $number, ...array_values($row)]);
        $seen[] = run($db, 'SELECT * FROM typed WHERE id >= ? ORDER BY id', [100]);
        $seen[] = run($db, 'DELETE FROM typed WHERE id >= ?', [100]);
        foreach (['SELECT nonsense', 'SELECT * FROM nowhere', 'SELEC', 'SELECT 1; SELECT 2', 'CALL two_results()', 'CALL fails()', 'SHOW WARNINGS', 'SELECT 1/0', 'DROP TABLE IF EXISTS nowhere',
            'INSERT INTO children VALUES (1, 4711)', 'CALL adds(3, @s)', 'SELECT @s', 'SET @s = NULL'] as $text) $seen[] = run($db, $text);
        $long = $db->prepare('SELECT LENGTH(?), MD5(?)');  // sent ahead of the execution, in pieces
        $empty = null;
        $long->bind_param('bb', $empty, $empty);
        for ($part = 0; $part < 5; $part++) { $long->send_long_data(0, str_repeat("$part", 100000)); $long->send_long_data(1, "part $part"); }
        $long->execute();
        $seen[] = $long->get_result()->fetch_row();
        $long->reset();
        $seen[] = refusal(function () use ($long) { $long->execute(); return $long->get_result()->fetch_row(); });
        return $seen;
    },
    'cursors' => function (mysqli $db) {
        $cursor = $db->prepare('SELECT seq, seq * ? FROM seq_1_to_500');
        $cursor->attr_set(MYSQLI_STMT_ATTR_CURSOR_TYPE, MYSQLI_CURSOR_TYPE_READ_ONLY);
        $cursor->attr_set(MYSQLI_STMT_ATTR_PREFETCH_ROWS, 1);
        $factor = 3;
        $cursor->bind_param('i', $factor);
        $cursor->execute();
        $cursor->bind_result($number, $product);
        for ($sum = 0, $count = 0; $count < 200 && $cursor->fetch(); $count++) { $sum += $product; if ($count === 50) $between = ask($db, "SELECT 'between'"); }
        $cursor->free_result();
        $cursor->close();
        return [$sum, $count, $between, ask($db, "SELECT 'usable'")];
    },
    'types' => fn(mysqli $db) => array_map(fn($value) => [$value, ask($db, "SELECT $value AS v"), run($db, "SELECT $value AS v")], $shared['values']),
    'typed_rows' => fn(mysqli $db) => [ask($db, 'SELECT * FROM typed ORDER BY id'), run($db, 'SELECT * FROM typed ORDER BY id')],
    'multi' => fn(mysqli $db) => array_map(fn($text) => ask($db, $text), ["SELECT 1; SELECT 'ä', 2; DO 1; SELECT 3", 'SELECT 1; SELECT nonsense; SELECT 2', 'BEGIN; SELECT in_transaction()',
        'ROLLBACK; SELECT in_transaction()', 'CALL two_results(); SELECT 1', 'SET @a = 7; SELECT @a; USE other; SELECT DATABASE()', 'SELECT @a; USE shop; SET @a = NULL']),
    'large' => function (mysqli $db) {
        $seen = [];
        foreach ([5000000, 17000000] as $number => $size) {
            $body = str_repeat("0123456789\0\xff'\\", intdiv($size, 14));
            $seen[] = run($db, 'REPLACE INTO large VALUES (?, ?)', [$number, $body]);
            $row = $db->execute_query('SELECT LENGTH(body), MD5(body), body FROM large WHERE id = ?', [$number])->fetch_row();
            $text = $db->query("SELECT body FROM large WHERE id = $number")->fetch_row();
            $seen[] = [$row[0], $row[1] === md5($body), $row[2] === $body, $text[0] === $body];
        }
        return [$seen, ask($db, 'TRUNCATE TABLE large')];
    },
    'streaming' => function (mysqli $db) {
        $sum = 0;
        $result = $db->query("SELECT seq, REPEAT('x', 500) FROM seq_1_to_20000", MYSQLI_USE_RESULT);
        while ($row = $result->fetch_row()) $sum += $row[0] + strlen($row[1]);
        $result->free();
        $result = $db->query("SELECT seq, REPEAT('x', 500) FROM seq_1_to_20000", MYSQLI_USE_RESULT);
        $first = $result->fetch_row()[0];
        $result->free();  // the rest is read away
        return [$sum, $first, ask($db, "SELECT 'usable'")];
    },
    'kill' => function (mysqli $db) {
        $victim = open_one();
        $text = "SELECT SLEEP(30), 'victim of PHP'";
        $victim->query($text, MYSQLI_ASYNC);
        for ($turn = 0, $running = 0; $turn < 2000 && !$running; $turn++) {
            $running = (int) $db->execute_query('SELECT COUNT(*) FROM information_schema.processlist WHERE info = ?', [$text])->fetch_row()[0];
            usleep(10000);
        }
        $seen = [$running, ask($db, 'KILL QUERY ' . $victim->thread_id), refusal(fn() => rows($victim->reap_async_query())), ask($victim, "SELECT 'usable'")];
        $seen[] = refusal(fn() => $db->kill($victim->thread_id));
        usleep(200000);
        $seen[] = isset(ask($victim, 'SELECT 1')[0]['error']);
        return $seen;
    },
    'change_user' => function () {
        $mine = open_one();
        $seen = [];
        foreach (["SET @a = 1, time_zone = '+07:00'", 'CREATE TEMPORARY TABLE mine (n INT)', "SELECT GET_LOCK('changed', 0)", 'BEGIN'] as $text) ask($mine, $text);
        foreach ([['reader', 'shop'], ['app', 'other'], ['app', 'shop'], ['app', null]] as [$user, $database]) {
            $seen[] = $mine->change_user($user, getenv('MYSQL_PASSWORD'), $database);
            $seen[] = ask($mine, "SELECT CURRENT_USER(), DATABASE(), @a, @@time_zone, shop.in_transaction(), IS_FREE_LOCK('changed'), @@character_set_client");
            $seen[] = ask($mine, 'SELECT * FROM mine');
        }
        return $seen;
    },
    'refused_change' => function () {
        $mine = open_one();
        return [refusal(fn() => $mine->change_user('app', 'wrong', 'shop')), refusal(fn() => rows($mine->query('SELECT 1')))];
    },
    'commands' => function (mysqli $db) {
        $seen = [$db->server_info, $db->server_version, $db->protocol_version, $db->character_set_name(), strtok($db->stat(), ':')];
        foreach (['latin1', 'utf8mb4'] as $charset) { $db->set_charset($charset); $seen[] = [(array) $db->get_charset(), ask($db, 'SELECT @@character_set_client, @@collation_connection')]; }
        $seen[] = [$db->select_db('other'), ask($db, 'SELECT DATABASE(), name FROM things'), refusal(fn() => $db->select_db('no_such_database')), $db->select_db('shop')];
        foreach (['wrong' => ['app', 'shop'], '' => ['app', 'shop']] as $password => [$user, $database])
            $seen[] = refusal(fn() => (new mysqli(getenv('MYSQL_HOST'), $user, $password, $database, (int) getenv('MYSQL_PORT')))->server_info);
        $seen[] = refusal(fn() => (new mysqli(getenv('MYSQL_HOST'), 'app', getenv('MYSQL_PASSWORD'), 'no_such_database', (int) getenv('MYSQL_PORT')))->server_info);
        $native = open_one('utf8mb4', [MYSQLI_OPT_INT_AND_FLOAT_NATIVE => 1, MYSQLI_INIT_COMMAND => "SET @first = 3, time_zone = '+05:00'"]);
        $seen[] = rows($native->query('SELECT 1, 1.5e0, @first, @@time_zone'));
        return $seen;
    },
    // A client that names no character set takes the one of the greeting.
    'greeted_charset' => fn() => [open_one('')->character_set_name(), ask(open_one(''), "SELECT @@character_set_client, @@collation_connection, HEX('ä')")],
];

run_scenarios($scenarios, fn() => open_one());
