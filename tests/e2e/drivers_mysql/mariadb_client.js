// mariadb (MariaDB Connector/Node.js): texts by query(), statements prepared on the server and kept by execute(), batches in one message
// where the server has it, streams of rows. The rules are in mysql_dbapi.py.
'use strict';
const mariadb = require('mariadb');
const { main } = require('../drivers/common.js');
const {
  server, refusal, textScenarios, typedParameters, oddStatements, typeScenarios, severalStatements, largeValues, changedUsers, killed, parallel,
} = require('./common_mysql.js');

const options = { ...server, charset: 'utf8mb4', dateStrings: true, allowPublicKeyRetrieval: true, trace: false };
const open = (more = {}) => mariadb.createConnection({ ...options, ...more });

const fieldsOf = (meta) => meta && meta.map((field) => [field.name(), field.orgName(), field.orgTable(), field.db(), field.type, field.columnLength, field.flags, field.scale,
  field.collation && field.collation.name]);
const plain = (answer) => (Array.isArray(answer) ? { rows: [...answer], fields: fieldsOf(answer.meta) }
  : answer && { affected: answer.affectedRows, id: String(answer.insertId), warnings: answer.warningStatus });
const isRows = (answer) => Array.isArray(answer) && answer.meta !== undefined;

// What a statement answers: several results for several statements, or of a procedure.
const shown = (answer) => (Array.isArray(answer) && !isRows(answer) ? answer.map(plain) : plain(answer));
const ask = async (connection, text, values) => shown(await connection.query(text, values));
const run = async (connection, text, values) => shown(await connection.execute(text, values));
const rowsOf = (answer) => answer.rows;

const scenarios = {
  ...textScenarios(ask),
  commits: { movable: true, body: async (db) => {
    await ask(db, 'DELETE FROM items WHERE id BETWEEN 10 AND 19');
    await db.beginTransaction(); await run(db, 'INSERT INTO items VALUES (?, ?)', [11, 'committed']); await db.commit();
    await db.beginTransaction(); await run(db, 'INSERT INTO items VALUES (?, ?)', [12, 'rolled back']); await db.rollback();
    await db.beginTransaction(); await run(db, 'INSERT INTO items VALUES (?, ?)', [13, 'kept']);
    const clash = await refusal(() => run(db, 'INSERT INTO items VALUES (?, ?)', [13, 'again']));
    await db.commit();
    return [clash, await run(db, 'SELECT id, name, in_transaction() AS t FROM items WHERE id BETWEEN 10 AND 19 ORDER BY id'), await db.ping()];
  } },
  prepared: { body: async (db) => {
    const seen = [];
    for (let number = 0; number < 25; number++) seen.push(await run(db, 'SELECT ? * 2 + 1 AS n', [number]));
    // More than it keeps: what was used least is closed.
    for (let turn = 0; turn < 2; turn++) for (let number = 0; number < 300; number++) seen.push((await run(db, `SELECT ? + ${number} AS n`, [turn])).rows);
    for (const value of [null, true, -1, 1.5, 2n ** 62n, 'Größe ≠ 漢字 🙂', '', Buffer.from([0, 255, 39, 92]), new Date(0), 'x'.repeat(70000)]) {
      seen.push(await run(db, 'SELECT ? AS v, HEX(?) AS h, ? IS NULL AS n', [value, value, value]));
    }
    seen.push(...await typedParameters(run, db), ...await oddStatements(run, db));
    const statement = await db.prepare('SELECT ? AS a, ? AS b');
    seen.push(plain(await statement.execute([1, 'x'])), plain(await statement.execute([null, 2.5])));
    statement.close();
    return seen;
  } },
  // The same work again and again on one connection, for who moves the writes below it.
  repeated: { movable: true, body: async (db) => {
    const seen = [];
    for (let number = 0; number < 10; number++) {
      seen.push((await run(db, 'SELECT ? * 2 + 1 AS n', [number])).rows, await run(db, 'REPLACE INTO items VALUES (?, ?)', [20 + number, `row ${number}`]));
    }
    return [...seen, (await ask(db, 'SELECT COUNT(*) AS n FROM items WHERE id BETWEEN 20 AND 29')).rows];
  } },
  batch: { body: async (db) => {
    const seen = [];
    for (const bulk of [true, false]) {
      const mine = await open({ bulk });
      await ask(mine, 'TRUNCATE TABLE entries');
      seen.push(plain(await mine.batch('INSERT INTO entries (name, n) VALUES (?, ?)', Array.from({ length: 300 }, (_, number) => [`row ${number}`, number % 7 ? number : null]))));
      seen.push(plain(await mine.batch('UPDATE entries SET n = ? WHERE id = ?', Array.from({ length: 10 }, (_, number) => [number, number]))));
      seen.push(await refusal(async () => plain(await mine.batch('INSERT INTO items VALUES (?, ?)', [[9, 'a'], [10, 'b'], [9, 'again']]))));
      seen.push(await ask(mine, 'SELECT COUNT(*), SUM(id), SUM(n), MAX(name) FROM entries'), await ask(mine, 'DELETE FROM items WHERE id IN (9, 10)'));
      await mine.end();
    }
    return seen;
  } },
  // Sent one behind the other, without a wait for an answer.
  pipelined: { body: async (db) => Promise.all([ask(db, 'SET @p = 1'), ask(db, 'SELECT @p'), refusal(() => ask(db, 'SELECT nonsense')), run(db, 'SELECT ? + @p AS n', [1]), ask(db, 'BEGIN'),
    run(db, 'REPLACE INTO items VALUES (?, ?)', [8, 'rolled back']), ask(db, 'SELECT in_transaction()'), ask(db, 'ROLLBACK'), ask(db, 'SET @p = NULL'), ask(db, 'SELECT @p, in_transaction()')]) },
  ...typeScenarios(ask, run),
  multi: { body: async () => {
    const mine = await open({ multipleStatements: true }), seen = await severalStatements(ask, mine);
    await mine.end();
    return seen;
  } },
  large: { body: async () => {
    const mine = await open({ maxAllowedPacket: 64 << 20 }), seen = await largeValues(ask, run, rowsOf, mine);
    await mine.end();
    return seen;
  } },
  streaming: { body: async (db) => {
    let sum = 0n, count = 0;
    const stream = db.queryStream("SELECT seq, REPEAT('x', 500) AS filling FROM seq_1_to_20000");
    for await (const row of stream) sum += BigInt(row.seq) + BigInt(row.filling.length);
    const given_up = db.queryStream("SELECT seq, REPEAT('x', 500) AS filling FROM seq_1_to_20000");
    await new Promise((resolve, reject) => given_up.on('data', () => { if (++count === 30) { given_up.close(); resolve(); } }).on('error', reject));  // the rest is read away
    return [sum, await ask(db, "SELECT 'usable'")];
  } },
  kill: { body: (db) => killed(open, ask, (victim) => victim.threadId, db) },
  reset: { body: async () => {
    const mine = await open(), seen = [];
    for (const text of ["SET @a = 1, time_zone = '+07:00'", 'CREATE TEMPORARY TABLE mine (n INT)', "SELECT GET_LOCK('reset', 0)", 'BEGIN', 'USE other']) await ask(mine, text);
    await mine.reset();
    seen.push(await ask(mine, "SELECT @a AS a, @@time_zone AS z, shop.in_transaction() AS t, IS_FREE_LOCK('reset') AS l, DATABASE() AS d"), await refusal(() => ask(mine, 'SELECT * FROM mine')));
    await mine.end();
    return seen;
  } },
  change_user: { body: async () => {
    const mine = await open(), seen = await changedUsers(ask, run, async (mine, how) => {
      const refused = await refusal(() => mine.changeUser(how));  // before MySQL the driver refuses by itself
      return [refused && refused.error[0]];
    }, mine);
    await mine.end();
    return seen;
  } },
  logins: { body: async () => {
    const seen = [];
    for (const more of [{}, { database: undefined }, { database: 'other' }, { initSql: "SET @first = 'words'" }, { sessionVariables: { sort_buffer_size: 300032, time_zone: '+05:00' } }, { foundRows: false },
      { compress: true }, { connectAttributes: { who: 'Node' } }, { collation: 'LATIN1_SWEDISH_CI', charset: undefined }, { pipelining: false }]) {
      const mine = await open(more);
      seen.push(await ask(mine, 'SELECT DATABASE(), @first, @@sort_buffer_size, @@time_zone, @@character_set_client, @@collation_connection'));
      seen.push(await ask(mine, 'UPDATE shop.typed SET tiny = tiny WHERE id = 1'), mine.serverVersion());
      await mine.end();
    }
    for (const more of [{ password: 'wrong' }, { user: 'nobody' }, { database: 'no_such_database' }, { database: 'mysql' }]) {
      const refused = await refusal(async () => { await (await open(more)).end(); return 'let in'; });
      seen.push(refused);
    }
    return seen;
  } },
  parallel: { movable: true, body: () => parallel(open, (mine) => mine.end(), ask, rowsOf) },
  parallel_prepared: { body: () => parallel(open, (mine) => mine.end(), (mine, text, values) => (values ? run : ask)(mine, text, values), rowsOf) },
  pool: { movable: true, body: async () => {
    const pool = mariadb.createPool({ ...options, connectionLimit: 4 });
    const seen = await Promise.all(Array.from({ length: 24 }, async (_, number) => String((await pool.execute('SELECT ? * 2 AS n', [number]))[0].n)));
    await pool.end();
    return seen;
  } },
};

main(scenarios, open, (connection) => connection && connection.end());
