// mysql2: texts by query(), statements prepared on the server and kept by execute(), streams of rows.
'use strict';
const mysql = require('mysql2/promise');
const { main } = require('../drivers/common.js');
const {
  server, refusal, textScenarios, typedParameters, oddStatements, typeScenarios, severalStatements, largeValues, changedUsers, killed, parallel,
} = require('./common_mysql.js');

const options = { ...server, charset: 'utf8mb4', supportBigNumbers: true, bigNumberStrings: true, dateStrings: true };
const open = (more = {}) => mysql.createConnection({ ...options, ...more });

const plain = (value) => (value && value.constructor && value.constructor.name === 'ResultSetHeader'
  ? { affected: value.affectedRows, changed: value.changedRows, id: String(value.insertId), info: value.info, warnings: value.warningStatus, status: value.serverStatus, changes: value.stateChanges }
  : value);
const fieldsOf = (fields) => fields && fields.map((field) => (Array.isArray(field) ? fieldsOf(field) : field && [field.name, field.orgName, field.orgTable, field.columnType,
  field.columnLength, field.flags, field.decimals, field.characterSet]));

// What a statement answers: several results for several statements, or of a procedure.
async function ask(connection, text, values) {
  const [result, fields] = await connection.query(text, values);
  const isMany = Array.isArray(fields) && fields.some((each) => each === undefined || Array.isArray(each));
  return { result: isMany ? result.map(plain) : plain(result), fields: fieldsOf(fields) };
}

async function run(connection, text, values) {
  const [result, fields] = await connection.execute(text, values);
  return { result: Array.isArray(result) ? result.map(plain) : plain(result), fields: fieldsOf(fields) };
}

const rowsOf = (answer) => answer.result;

const scenarios = {
  ...textScenarios(ask),
  commits: { body: async (db) => {
    await ask(db, 'TRUNCATE TABLE items');
    await db.beginTransaction(); await run(db, 'INSERT INTO items VALUES (?, ?)', [1, 'committed']); await db.commit();
    await db.beginTransaction(); await run(db, 'INSERT INTO items VALUES (?, ?)', [2, 'rolled back']); await db.rollback();
    await db.beginTransaction(); await run(db, 'INSERT INTO items VALUES (?, ?)', [3, 'kept']);
    const clash = await refusal(() => run(db, 'INSERT INTO items VALUES (?, ?)', [3, 'again']));
    await db.commit();
    return [clash, await run(db, 'SELECT id, name, in_transaction() AS t FROM items ORDER BY id'), await db.ping()];
  } },
  prepared: { body: async (db) => {
    const seen = [];
    for (let number = 0; number < 25; number++) seen.push((await run(db, 'SELECT ? * 2 + 1 AS n', [number])).result);
    for (let turn = 0; turn < 2; turn++) for (let number = 0; number < 60; number++) seen.push((await run(db, `SELECT ? + ${number} AS n`, [turn])).result);
    for (const value of [null, true, -1, 1.5, 'Größe ≠ 漢字 🙂', '', Buffer.from([0, 255, 39, 92]), new Date(0), 'x'.repeat(70000)]) {
      seen.push(await run(db, 'SELECT ? AS v, HEX(?) AS h, ? IS NULL AS n', [value, value, value]));
    }
    seen.push(...await typedParameters(run, db), ...await oddStatements(run, db));
    const statement = await db.prepare('SELECT ? AS a, ? AS b');
    seen.push((await statement.execute([1, 'x']))[0], (await statement.execute([null, 2.5]))[0]);
    await statement.close();
    db.unprepare('SELECT ? * 2 + 1 AS n');
    seen.push(await run(db, 'SELECT ? * 2 + 1 AS n', [7]));
    return seen;
  } },
  // The definition of a table changes below a statement; a temporary table comes and goes.
  redefined: { body: async (db) => {
    const seen = [];
    await ask(db, 'CREATE TABLE changing (a INT)');
    await ask(db, 'INSERT INTO changing VALUES (1)');
    seen.push(await run(db, 'SELECT * FROM changing', []));
    await ask(db, "ALTER TABLE changing ADD COLUMN b VARCHAR(20) DEFAULT 'new'");
    seen.push(await run(db, 'SELECT * FROM changing', []));
    await ask(db, 'DROP TABLE changing');
    seen.push(await refusal(() => run(db, 'SELECT * FROM changing', [])));
    await ask(db, 'CREATE TEMPORARY TABLE changing (c INT)');
    seen.push(await run(db, 'SELECT * FROM changing', []));
    await ask(db, 'DROP TABLE changing');
    return seen;
  } },
  ...typeScenarios(ask, run),
  multi: { body: async () => {
    const mine = await open({ multipleStatements: true }), seen = await severalStatements(ask, mine);
    await mine.end();
    return seen;
  } },
  large: { body: (db) => largeValues(ask, run, rowsOf, db) },
  streaming: { body: async (db) => {
    let sum = 0, count = 0;
    for await (const row of db.connection.query("SELECT seq, REPEAT('x', 500) AS filling FROM seq_1_to_20000").stream({ highWaterMark: 5 })) sum += row.seq + row.filling.length;
    for await (const row of db.connection.execute("SELECT seq, REPEAT('x', 500) AS filling FROM seq_1_to_20000").stream({ highWaterMark: 5 })) count += row.seq;
    return [sum, count, await ask(db, "SELECT 'usable'")];
  } },
  kill: { body: (db) => killed(open, ask, (victim) => victim.threadId, db) },
  change_user: { body: async () => {
    const mine = await open(), seen = await changedUsers(ask, run, async (mine, how) => {
      await mine.changeUser(how);
      return [];
    }, mine);
    await mine.end();
    return seen;
  } },
  parallel: { body: () => parallel(open, (mine) => mine.end(), ask, rowsOf) },
  parallel_prepared: { body: () => parallel(open, (mine) => mine.end(), (mine, text, values) => (values ? run : ask)(mine, text, values), rowsOf) },
  pool: { body: async () => {
    const pool = mysql.createPool({ ...options, connectionLimit: 4 });
    const seen = await Promise.all(Array.from({ length: 24 }, async (_, number) => (await pool.execute('SELECT ? * 2 AS n', [number]))[0][0].n));
    await pool.end();
    return seen;
  } },
};

main(scenarios, open, (connection) => connection && connection.end());
