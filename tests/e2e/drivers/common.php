<?php
// How the programs in PHP end, of both protocols: their scenarios in order, a line of JSON for each. The rules are in common.py.
declare(strict_types=1);

// `$open` makes the connection that scenarios share; behind one that failed it is made anew.
function run_scenarios(array $scenarios, callable $open): void {
    $db = null;
    foreach (array_slice($GLOBALS['argv'], 1) ?: array_keys($scenarios) as $name) {
        $line = ['scenario' => $name];
        try {
            $db ??= $open();
            $line['result'] = $scenarios[$name]($db);
        } catch (Throwable $error) {
            fwrite(STDERR, "$name: $error\n");
            $line['error'] = get_class($error) . ': ' . $error->getMessage();
            $db = null;
        }
        echo json_encode($line, JSON_UNESCAPED_UNICODE | JSON_INVALID_UTF8_SUBSTITUTE | JSON_THROW_ON_ERROR), "\n";
    }
}
