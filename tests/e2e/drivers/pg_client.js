// node-postgres (`pg`): text results, unnamed and named statements, cursors and COPY by its companions.
'use strict';
const pg = require('pg');
const Cursor = require('pg-cursor');
const { from: copyFrom, to: copyTo } = require('pg-copy-streams');
const { pipeline } = require('stream/promises');
const { Readable } = require('stream');
const { VALUES, USER_VALUES, SESSIONS, server, sleep, main } = require('./common.js');

const OWNER = 'node-pg';
const config = { ...server, ssl: false, options: '-c work_mem=5MB' };

async function open() {
  const client = new pg.Client(config);
  client.on('error', (error) => console.error('client', error));
  await client.connect();
  return client;
}

async function refusal(waited) {
  try {
    await waited;
  } catch (error) {
    return [error.code, error.message, error.constraint];
  }
  return ['no error'];
}

const rows = async (client, text, values) => (await client.query({ text, values, rowMode: 'array' })).rows;
const empty = (client) => client.query('DELETE FROM drivers.items WHERE owner = $1', [OWNER]);
const insert = (client, id, name) => client.query('INSERT INTO drivers.items (owner, id, name) VALUES ($1, $2, $3)', [OWNER, id, name]);
const items = (client) => rows(client, 'SELECT id, name FROM drivers.items WHERE owner = $1 ORDER BY id', [OWNER]);

async function transactions(client) {
  await empty(client);
  await client.query('BEGIN'); await insert(client, 1, 'committed'); await client.query('COMMIT');
  await client.query('BEGIN'); await insert(client, 2, 'rolled back'); await client.query('ROLLBACK');
  await client.query('BEGIN');
  await insert(client, 3, 'before the savepoint');
  await client.query('SAVEPOINT s');
  await insert(client, 4, 'given up');
  await client.query('ROLLBACK TO SAVEPOINT s');
  await insert(client, 5, 'after the savepoint');
  await client.query('COMMIT');
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  const seen = [await rows(client, 'SHOW transaction_isolation'), await refusal(insert(client, 6, 'refused'))];
  const ended = await client.query('COMMIT');
  return [await items(client), seen, ended.command];
}

async function prepared(client) {
  const repeated = [];
  for (let n = 0; n < 25; n++) {
    const result = await client.query({ name: 'twice', text: 'SELECT $1::int * 2 + 1 AS v', values: [n] });
    repeated.push(result.rows[0].v);
  }
  const clash = await refusal(client.query({ name: 'twice', text: 'SELECT $1::int', values: [1] }));
  let sum = 0;
  for (let turn = 0; turn < 2; turn++) {
    for (let n = 0; n < 60; n++) {
      sum += (await client.query({ name: `many ${n}`, text: `SELECT $1::int + ${n} AS v`, values: [turn] })).rows[0].v;
    }
  }
  const broken = await refusal(client.query({ name: 'broken', text: 'SELECT nothing($1)', values: [1] }));
  return [repeated, clash, sum, broken, await rows(client, 'SELECT $1::text', ['unnamed'])];
}

async function cursors(client) {
  await client.query('BEGIN');
  const cursor = client.query(new Cursor('SELECT n, n * $1::int AS m FROM generate_series(1, 500) AS n', [3]));
  let sum = 0, reads = 0;
  for (let batch = await cursor.read(70); batch.length > 0; batch = await cursor.read(70)) {
    reads += 1;
    for (const row of batch) sum += row.m;
  }
  const early = client.query(new Cursor('SELECT generate_series(1, 100000) AS n'));
  const first = await early.read(5);
  await early.close();
  await client.query('COMMIT');
  const outside = client.query(new Cursor('SELECT generate_series(1, 10) AS n'));  // no transaction around it
  const part = [await outside.read(4), await outside.read(4)];
  await outside.close();
  const failing = client.query(new Cursor('SELECT 1/(5 - n) AS n FROM generate_series(1, 9) AS n'));
  const failed = [await refusal(failing.read(3)), await refusal(failing.read(3))];
  await failing.close().catch(() => {});
  return [sum, reads, first, part, failed, await rows(client, "SELECT 'usable'")];
}

async function held_cursors(client) {
  await client.query('BEGIN; DECLARE kept CURSOR WITH HOLD FOR SELECT * FROM generate_series(1, 20); COMMIT');
  const seen = [await rows(client, 'FETCH 3 FROM kept'), await rows(client, 'FETCH 2 FROM kept')];
  await client.query('CLOSE kept');
  return [seen, await refusal(client.query('FETCH 1 FROM kept'))];
}

async function copy(client) {
  await empty(client);
  const lines = Array.from({ length: 2000 }, (_, n) => `${OWNER}\t${n}\trow ${n}\t\\N\n`);
  const into = client.query(copyFrom('COPY drivers.items FROM STDIN'));
  await pipeline(Readable.from(lines), into);
  let out = '';
  const stream = client.query(copyTo(`COPY (SELECT id, name FROM drivers.items WHERE owner = '${OWNER}' ORDER BY id) TO STDOUT CSV`));
  for await (const chunk of stream) out += chunk;
  const bad = client.query(copyFrom('COPY drivers.items FROM STDIN'));
  const failed = await refusal(pipeline(Readable.from(Array(500).fill(`${OWNER}\tnonsense\tx\t1\n`)), bad));
  return [into.rowCount, out.length, out.slice(-30), failed, await rows(client, "SELECT 'usable'")];
}

async function notify(client) {
  const heard = [];
  const hear = (message) => heard.push([message.channel, message.payload]);
  client.on('notification', hear);
  await client.query('LISTEN node_pg_news');
  const speaker = await open();
  for (let n = 0; n < 5; n++) await speaker.query("SELECT pg_notify('node_pg_news', $1)", [`item ${n}`]);
  await speaker.end();
  await client.query("NOTIFY node_pg_news, 'my own'");
  for (let turn = 0; turn < 1000 && heard.length < 6; turn++) await sleep(20);
  await client.query('UNLISTEN *');
  client.off('notification', hear);
  return heard;
}

async function cancel(client) {
  const begin = Date.now();
  const query = new pg.Query('SELECT pg_sleep(30)');
  const waited = new Promise((resolve) => { query.on('error', resolve); query.on('end', () => resolve({ code: 'no error' })); });
  client.query(query);
  await sleep(200);
  const canceller = new pg.Client(config);
  canceller.on('error', () => {});
  canceller.cancel(client, query);
  const error = await waited;
  return [error.code, error.message, Date.now() - begin < 20000, await rows(client, "SELECT 'usable'")];
}

async function errors(client) {
  await empty(client);
  const seen = [];
  for (const text of ['SELEC 1', 'SELECT 1/0', 'SELECT * FROM nowhere', 'SELECT nothing()', "SELECT 'x'::int",
    "INSERT INTO drivers.items (owner, id) VALUES ('nobody', 1)"]) {
    seen.push(await refusal(client.query(text)), await refusal(client.query(text, [])));
  }
  seen.push(await refusal(client.query('SELECT $1::int', ['many'])), await refusal(client.query('SELECT $1::int', [1, 2])));
  await insert(client, 1, 'first');
  await client.query('BEGIN');
  await insert(client, 2, 'lost with its transaction');
  seen.push(await refusal(insert(client, 1, 'again')), await refusal(client.query('SELECT 1')), (await client.query('COMMIT')).command);
  const texts = await client.query('SELECT 1 AS a; SELECT 2 AS b; SELECT 3 AS c');
  seen.push(texts.map((result) => result.rows), await refusal(client.query('SELECT 1; SELECT 1/0; SELECT 3')));
  return [seen, await items(client), await rows(client, "SELECT 'usable'")];
}

async function values(client, list) {
  const seen = [];
  for (const value of list) {
    const [simple] = await rows(client, `SELECT ${value}`);
    const extended = await client.query({ text: `SELECT ${value}, $1::int`, values: [1], rowMode: 'array' });
    seen.push([value, simple[0], extended.rows[0][0]]);
  }
  return seen;
}

async function types(client) {
  const given = await rows(client, 'SELECT $1::int8, $2::numeric, $3::text, $4::bytea, $5::jsonb, $6::int4[], $7::text[], $8::int, $9::timestamptz',
    ['1099511627776', 7.5, 'ü', Buffer.from([0, 1]), { a: [1] }, [1, null], ['x', null], null, new Date(86400000)]);
  return [await values(client, VALUES), given];
}

async function batch(client) {  // queued without waiting, so they follow each other on the wire
  await empty(client);
  const waiting = Array.from({ length: 100 }, (_, n) => (n === 50 ? refusal(insert(client, 49, 'twice')) : insert(client, n, `row ${n}`)));
  const ended = await Promise.all(waiting);
  return [ended[50], await rows(client, 'SELECT count(*), sum(id) FROM drivers.items WHERE owner = $1', [OWNER])];
}

async function parameters(client) {
  const show = async () => {
    const seen = [];
    for (const name of ['work_mem', 'search_path', 'statement_timeout', 'TimeZone']) seen.push((await rows(client, `SHOW ${name}`))[0][0]);
    return seen;
  };
  const seen = [await show()];
  await client.query("SET work_mem = '7MB'; SET search_path = drivers, public; SET TimeZone = 'Asia/Tokyo'");
  seen.push(await show());
  await client.query('BEGIN');
  await client.query("SET work_mem = '9MB'");
  await client.query("SET LOCAL statement_timeout = '77s'");
  seen.push(await show());
  await client.query('ROLLBACK');
  seen.push(await show());
  await client.query("SELECT set_config('statement_timeout', '66s', false)");
  seen.push(await show());
  await client.query("SET work_mem = '5MB'; SET search_path TO DEFAULT; SET TimeZone TO DEFAULT; SET statement_timeout = 0");
  return seen;
}

async function resets() {
  const mine = await open();
  const seen = [];
  for (const text of ["SET work_mem = '7MB'", 'RESET work_mem', "SET work_mem = '8MB'", 'RESET ALL', "SET work_mem = '9MB'", 'DISCARD ALL']) {
    await mine.query(text);
    seen.push(await rows(mine, 'SHOW work_mem'));
  }
  seen.push(await rows(mine, "SELECT name, setting FROM pg_settings WHERE source IN ('client', 'session') ORDER BY 1"));
  await mine.end();
  return seen;
}

async function session_state(client) {
  await client.query('CREATE TEMPORARY TABLE mine (n int)');
  for (let n = 0; n < 5; n++) await client.query('INSERT INTO mine VALUES ($1)', [n]);
  const seen = [await rows(client, 'SELECT count(*), sum(n) FROM mine')];
  await client.query('DROP TABLE mine');
  await client.query('SELECT pg_advisory_lock(4714)');
  seen.push(await rows(client, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"));
  seen.push(await rows(client, 'SELECT pg_advisory_unlock(4714), pg_advisory_unlock(4714)'));
  await client.query('PREPARE plus AS SELECT $1::int + 1');
  seen.push(await rows(client, 'EXECUTE plus(41)'));
  await client.query('DEALLOCATE plus');
  seen.push(await refusal(client.query('EXECUTE plus(41)')));
  await client.query('DISCARD TEMP');
  return seen;
}

async function large_objects(client) {
  const [[oid]] = await rows(client, 'SELECT lo_from_bytea(0, $1)', [Buffer.alloc(150000, 'abc')]);
  const seen = [await rows(client, 'SELECT length(lo_get($1)), lo_get($1, 149994, 20)', [oid])];
  await client.query('SELECT lo_put($1, 1000, $2)', [oid, Buffer.from('changed')]);
  seen.push(await rows(client, 'SELECT lo_get($1, 999, 9), lo_unlink($1)', [oid]));
  return seen;
}

async function parallel() {
  const session = async (number) => {
    const mine = await open();
    try {
      await mine.query(`SET work_mem = '${1000 + number}kB'; SET application_name = 'session ${number}'`);
      let sum = 0;
      for (let turn = 0; turn < 10; turn++) {
        const { rows: [{ v }] } = await mine.query({ name: 'times', text: `SELECT $1::int * ${number} AS v`, values: [turn] });
        if (v !== turn * number) throw new Error(`session ${number}: ${v}`);
        const [state] = await rows(mine, "SELECT current_setting('work_mem'), current_setting('application_name')");
        if (state[0] !== `${1000 + number}kB` || state[1] !== `session ${number}`) throw new Error(`session ${number}: ${state}`);
        if (turn % 3 === 0 && (await refusal(mine.query('SELECT $1::int/0', [number])))[0] !== '22012') throw new Error('no division by zero');
        sum += v;
      }
      return sum;
    } finally {
      await mine.end();
    }
  };
  return Promise.all(Array.from({ length: SESSIONS }, (_, number) => session(number)));
}

async function pool() {
  const shared = new pg.Pool({ ...config, max: 4 });
  const seen = await Promise.all(Array.from({ length: 20 }, (_, n) => shared.query('SELECT $1::int + 1 AS v', [n])));
  await shared.end();
  return seen.map((result) => result.rows[0].v);
}

const movable = (body) => ({ movable: true, body });
const staying = (body) => ({ movable: false, body });
main({
  transactions: movable(transactions), prepared: movable(prepared), cursors: movable(cursors), held_cursors: staying(held_cursors),
  copy: movable(copy), notify: staying(notify), cancel: movable(cancel), errors: movable(errors), types: movable(types),
  user_types: staying((client) => values(client, USER_VALUES)), batch: movable(batch), parameters: staying(parameters), resets: staying(resets),
  session_state: staying(session_state), large_objects: staying(large_objects), parallel: movable(parallel), pool: movable(pool),
}, open, (client) => client.end());
