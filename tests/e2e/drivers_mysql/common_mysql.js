// What mysql2 and mariadb have in common; the rules are in mysql_dbapi.py.
'use strict';
const crypto = require('crypto');
const fs = require('fs');

const shared = JSON.parse(fs.readFileSync(process.env.DRIVER_STATEMENTS, 'utf8'));
const server = { host: process.env.MYSQL_HOST, port: Number(process.env.MYSQL_PORT), user: process.env.MYSQL_USER, password: process.env.MYSQL_PASSWORD,
  database: process.env.MYSQL_DATABASE };

const told = (error) => ({ error: [error.errno, error.sqlState, (error.sqlMessage || error.message).split('\n')[0], error.code] });
const digest = (bytes) => crypto.createHash('md5').update(bytes).digest('hex');

async function refusal(deed) {
  try { return await deed(); } catch (error) { return told(error); }
}

async function waitUntil(predicate, seconds = 20) {
  const deadline = Date.now() + 1000 * seconds;
  while (!(await predicate())) {
    if (Date.now() > deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return true;
}

// ask(connection, text) gives all that a statement answers; every other text of the list is said after it.
function textScenarios(ask) {
  const made = {};
  for (const [name, texts] of Object.entries(shared.scenarios)) {
    made[name] = { body: async (connection) => {
      const seen = [];
      for (const text of texts) seen.push(await refusal(() => ask(connection, text)));
      return seen;
    } };
  }
  return made;
}

// KILL QUERY and KILL from a second connection; numberOf is the victim's, of its greeting.
async function killed(open, ask, numberOf, connection) {
  const victim = await open(), seen = [];
  victim.on('error', () => {});
  for (const verb of ['QUERY', 'CONNECTION']) {
    const text = `SELECT SLEEP(30), 'victim ${verb}'`;
    const caught = refusal(() => ask(victim, text));
    const running = await waitUntil(async () => JSON.stringify(await ask(connection, `SELECT CAST(COUNT(*) AS CHAR) AS n FROM information_schema.processlist WHERE info = '${
      text.replaceAll("'", "''")}'`)).includes('"n":"1"'));
    seen.push(running, await refusal(() => ask(connection, `KILL ${verb} ${numberOf(victim)}`)));
    const how = await caught;
    seen.push(verb === 'QUERY' ? how : Boolean(how.error));
    if (verb === 'QUERY') seen.push(await ask(victim, "SELECT 'usable'"));
  }
  return seen;
}

// Every row of the list by a prepared statement, and how it is read back; run(connection, text, values) executes one.
async function typedParameters(run, connection) {
  const seen = [], names = Object.keys(shared.parameters[0]);
  for (const [number, row] of shared.parameters.entries()) {
    seen.push(await run(connection, `INSERT INTO typed (id, ${names.join(', ')}) VALUES (?${', ?'.repeat(names.length)})`, [100 + number, ...names.map((name) => row[name])]));
  }
  return [...seen, await run(connection, 'SELECT * FROM typed WHERE id >= ? ORDER BY id', [100]), await run(connection, 'DELETE FROM typed WHERE id >= ?', [100])];
}

// What cannot be prepared, or fails or leaves something when it is executed.
async function oddStatements(run, connection) {
  const seen = [];
  for (const [text, values] of [['SELECT nonsense(?)', [1]], ['SELECT * FROM nowhere WHERE n = ?', [1]], ['INSERT INTO children VALUES (?, ?)', [1, 4711]], ['SELEC', []],
    ['SELECT 1; SELECT 2', []], ['CALL two_results()', []], ['CALL fails()', []], ['CALL adds(?, @s)', [3]], ['SHOW WARNINGS', []], ['SET @a = ?', [5]], ['SELECT @a', []],
    ['SET @a = NULL', []], ['USE shop', []], ['DROP TABLE IF EXISTS nowhere', []], ['SELECT 1/0', []]]) {
    seen.push(await refusal(() => run(connection, text, values)));
  }
  return seen;
}

// Every value of the list, and the typed rows, by text and prepared.
const typeScenarios = (ask, run) => ({
  types: { body: async (connection) => {
    const seen = [];
    for (const value of shared.values) seen.push([value, await ask(connection, `SELECT ${value} AS v`), await run(connection, `SELECT ${value} AS v`)]);
    return seen;
  } },
  typed_rows: { body: async (connection) => [await ask(connection, 'SELECT * FROM typed ORDER BY id'), await run(connection, 'SELECT * FROM typed ORDER BY id')] },
});

// Several statements in a text; the connection may send them.
async function severalStatements(ask, connection) {
  const seen = [];
  for (const text of ["SELECT 1; SELECT 'ä', 2; DO 1; SELECT 3", "TRUNCATE TABLE items; INSERT INTO items VALUES (1, 'a'), (2, 'b'); SELECT COUNT(*) FROM items",
    'SELECT 1; SELECT nonsense; SELECT 2', 'BEGIN; SELECT in_transaction()', 'ROLLBACK; SELECT in_transaction()', 'CALL two_results(); SELECT 1',
    'SET @a = 7; SELECT @a; USE other; SELECT DATABASE()', 'SELECT @a, DATABASE()']) seen.push(await refusal(() => ask(connection, text)));
  return seen;
}

// Values of one packet and of two.
async function largeValues(ask, run, rowsOf, connection) {
  const seen = [];
  for (const [number, size] of [5_000_000, 17_000_000].entries()) {
    const body = Buffer.alloc(size, Buffer.from(Array.from({ length: 251 }, (_, at) => at)));
    for (const way of [ask, run]) {
      await way(connection, 'REPLACE INTO large VALUES (?, ?)', [number, body]);
      const row = rowsOf(await way(connection, 'SELECT LENGTH(body) AS size, MD5(body) AS sum, body FROM large WHERE id = ?', [number]))[0];
      seen.push([row.size, row.sum === digest(body), row.body.equals(body)]);
    }
  }
  await ask(connection, 'TRUNCATE TABLE large');
  return seen;
}

// To another user and back; change(connection, how) does it and gives what is to be shown of it.
async function changedUsers(ask, run, change, connection) {
  const seen = [];
  await ask(connection, "SET @a = 1, time_zone = '+07:00'");
  await ask(connection, 'CREATE TEMPORARY TABLE mine (n INT)');
  await run(connection, 'SELECT ? AS before_the_change', [1]);
  for (const how of [{ user: 'reader', password: server.password, database: 'shop' }, { user: 'app', password: server.password, database: 'other' }]) {
    seen.push(...await change(connection, how));
    seen.push(await ask(connection, 'SELECT CURRENT_USER() AS u, DATABASE() AS d, @a AS a, @@time_zone AS z'), await refusal(() => ask(connection, 'SELECT * FROM mine')));
    seen.push(await run(connection, 'SELECT ? AS behind_the_change', [1]), await refusal(() => run(connection, "INSERT INTO shop.items VALUES (?, 'x')", [1])));
    await ask(connection, 'DELETE FROM shop.items WHERE id = 1').catch(() => 0);
  }
  return seen;
}

// Sixteen sessions with settings of their own; in a loop without variables, which would keep their server and stand in the way of a move; ask as above, `value` picks the first one of a row.
async function parallel(open, close, ask, rowsOf) {
  const hasVariable = (number) => number % 2 && !process.env.DRIVER_STOP;
  const session = async (number) => {
    const mine = await open();
    const zone = `+${String(number % 13).padStart(2, '0')}:00`;
    try {
      await ask(mine, `SET sort_buffer_size = ${1024 * (100 + number)}, time_zone = '${zone}'`);
      if (hasVariable(number)) await ask(mine, `SET @mine = ${number}`);
      let total = 0;
      for (let turn = 0; turn < 10; turn++) {
        const row = rowsOf(await ask(mine, "SELECT CONVERT(CONCAT_WS(',', @@sort_buffer_size, @@time_zone, @mine, ? * ?) USING utf8mb4) AS state", [turn, number]))[0];
        const wanted = [1024 * (100 + number), zone, ...(hasVariable(number) ? [number] : []), turn * number].join(',');
        if (JSON.stringify(row) !== JSON.stringify({ state: wanted })) throw new Error(`${JSON.stringify(row)} instead of ${wanted}`);
        await ask(mine, 'BEGIN');
        await ask(mine, 'REPLACE INTO entries (id, name) VALUES (?, ?)', [1000 + number, `turn ${turn}`]);
        const wrong = await refusal(() => ask(mine, `SELECT nonsense${number}`));
        if (wrong.error[0] !== 1054) throw new Error(JSON.stringify(wrong));
        await ask(mine, turn % 2 ? 'COMMIT' : 'ROLLBACK');
        total += turn * number;
      }
      return [total, rowsOf(await ask(mine, 'SELECT name FROM entries WHERE id = ?', [1000 + number]))];
    } finally {
      await close(mine);
    }
  };
  return Promise.all(Array.from({ length: 16 }, (_, number) => session(number)));
}

module.exports = { server, refusal, textScenarios, typedParameters, oddStatements, typeScenarios, severalStatements, largeValues, changedUsers, killed, parallel };
