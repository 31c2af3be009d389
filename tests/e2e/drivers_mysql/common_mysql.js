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

module.exports = { shared, server, told, digest, refusal, waitUntil, textScenarios, killed, parallel };
