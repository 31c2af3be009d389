// mysql2: texts by query(), statements prepared on the server and kept by execute(), streams of rows.
'use strict';
const mysql = require('mysql2/promise');
const { main } = require('../drivers/common.js');
const { shared, server, digest, refusal, textScenarios, killed, parallel } = require('./common_mysql.js');

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
    const seen = [], names = Object.keys(shared.parameters[0]);
    for (let number = 0; number < 25; number++) seen.push((await run(db, 'SELECT ? * 2 + 1 AS n', [number])).result);
    for (let turn = 0; turn < 2; turn++) for (let number = 0; number < 60; number++) seen.push((await run(db, `SELECT ? + ${number} AS n`, [turn])).result);
    for (const value of [null, true, -1, 1.5, 'Größe ≠ 漢字 🙂', '', Buffer.from([0, 255, 39, 92]), new Date(0), 'x'.repeat(70000)]) {
      seen.push(await run(db, 'SELECT ? AS v, HEX(?) AS h, ? IS NULL AS n', [value, value, value]));
    }
    for (const [number, row] of shared.parameters.entries()) {
      seen.push(await run(db, `INSERT INTO typed (id, ${names.join(', ')}) VALUES (?${', ?'.repeat(names.length)})`, [100 + number, ...names.map((name) => row[name])]));
    }
    seen.push(await run(db, 'SELECT * FROM typed WHERE id >= ? ORDER BY id', [100]), await run(db, 'DELETE FROM typed WHERE id >= ?', [100]));
    for (const [text, values] of [['SELECT nonsense(?)', [1]], ['SELECT * FROM nowhere WHERE n = ?', [1]], ['INSERT INTO children VALUES (?, ?)', [1, 4711]], ['SELEC', []],
      ['SELECT 1; SELECT 2', []], ['CALL two_results()', []], ['CALL fails()', []], ['CALL adds(?, @s)', [3]], ['SHOW WARNINGS', []], ['SET @a = ?', [5]], ['SELECT @a', []],
      ['SET @a = NULL', []], ['USE shop', []], ['DROP TABLE IF EXISTS nowhere', []], ['SELECT 1/0', []]]) {
      seen.push(await refusal(() => run(db, text, values)));
    }
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
  types: { body: async (db) => {
    const seen = [];
    for (const value of shared.values) seen.push([value, await ask(db, `SELECT ${value} AS v`), await run(db, `SELECT ${value} AS v`)]);
    return seen;
  } },
  typed_rows: { body: async (db) => [await ask(db, 'SELECT * FROM typed ORDER BY id'), await run(db, 'SELECT * FROM typed ORDER BY id')] },
  multi: { body: async () => {
    const mine = await open({ multipleStatements: true }), seen = [];
    for (const text of ["SELECT 1; SELECT 'ä', 2; DO 1; SELECT 3", "TRUNCATE TABLE items; INSERT INTO items VALUES (1, 'a'), (2, 'b'); SELECT COUNT(*) FROM items",
      'SELECT 1; SELECT nonsense; SELECT 2', 'BEGIN; SELECT in_transaction()', 'ROLLBACK; SELECT in_transaction()', 'CALL two_results(); SELECT 1',
      'SET @a = 7; SELECT @a; USE other; SELECT DATABASE()', 'SELECT @a, DATABASE()']) seen.push(await refusal(() => ask(mine, text)));
    await mine.end();
    return seen;
  } },
  large: { body: async (db) => {
    const seen = [];
    for (const [number, size] of [5_000_000, 17_000_000].entries()) {
      const body = Buffer.alloc(size, Buffer.from(Array.from({ length: 251 }, (_, at) => at)));
      for (const way of [ask, run]) {
        await way(db, 'REPLACE INTO large VALUES (?, ?)', [number, body]);
        const row = (await way(db, 'SELECT LENGTH(body) AS size, MD5(body) AS sum, body FROM large WHERE id = ?', [number])).result[0];
        seen.push([row.size, row.sum === digest(body), row.body.equals(body)]);
      }
    }
    await ask(db, 'TRUNCATE TABLE large');
    return seen;
  } },
  streaming: { body: async (db) => {
    let sum = 0, count = 0;
    for await (const row of db.connection.query("SELECT seq, REPEAT('x', 500) AS filling FROM seq_1_to_20000").stream({ highWaterMark: 5 })) sum += row.seq + row.filling.length;
    for await (const row of db.connection.execute("SELECT seq, REPEAT('x', 500) AS filling FROM seq_1_to_20000").stream({ highWaterMark: 5 })) count += row.seq;
    return [sum, count, await ask(db, "SELECT 'usable'")];
  } },
  kill: { body: (db) => killed(open, ask, (victim) => victim.threadId, db) },
  change_user: { body: async () => {
    const mine = await open(), seen = [];
    await ask(mine, "SET @a = 1, time_zone = '+07:00'");
    await ask(mine, 'CREATE TEMPORARY TABLE mine (n INT)');
    await run(mine, 'SELECT ? AS before_the_change', [1]);
    for (const change of [{ user: 'reader', password: server.password, database: 'shop' }, { user: 'app', password: server.password, database: 'other' }]) {
      await mine.changeUser(change);
      seen.push(await ask(mine, 'SELECT CURRENT_USER() AS u, DATABASE() AS d, @a AS a, @@time_zone AS z'), await refusal(() => ask(mine, 'SELECT * FROM mine')));
      seen.push(await run(mine, 'SELECT ? AS behind_the_change', [1]), await refusal(() => run(mine, "INSERT INTO shop.items VALUES (?, 'x')", [1])));
      await ask(mine, 'DELETE FROM shop.items WHERE id = 1').catch(() => 0);
    }
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
