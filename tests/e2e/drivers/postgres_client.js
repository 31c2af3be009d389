// postgres.js: every query prepared under a name of its own making, pipelined on the connections of its pool.
'use strict';
const postgres = require('postgres');
const { Readable } = require('stream');
const { pipeline } = require('stream/promises');
const { VALUES, USER_VALUES, SESSIONS, server, sleep, main } = require('./common.js');

const OWNER = 'postgres.js';
const open = async (more = {}) => postgres({ ...server, ssl: false, max: 1, onnotice: () => {}, connection: { work_mem: '5MB' }, ...more });

async function refusal(waited) {
  try {
    await waited;
  } catch (error) {
    return [error.code, error.message, error.constraint_name];
  }
  return ['no error'];
}

const rows = async (query) => [...await query.values()];
const empty = (sql) => sql`DELETE FROM drivers.items WHERE owner = ${OWNER}`;
const insert = (sql, id, name) => sql`INSERT INTO drivers.items (owner, id, name) VALUES (${OWNER}, ${id}, ${name})`;
const items = (sql) => rows(sql`SELECT id, name FROM drivers.items WHERE owner = ${OWNER} ORDER BY id`);

async function transactions(sql) {
  await empty(sql);
  await sql.begin(async (t) => {
    await insert(t, 1, 'committed');
    await t.savepoint(async (s) => { await insert(s, 2, 'given up'); throw new Error('back'); }).catch(() => {});
    await t.savepoint((s) => insert(s, 3, 'in a savepoint'));
  });
  await sql.begin(async (t) => { await insert(t, 4, 'rolled back'); throw new Error('back'); }).catch(() => {});
  const level = await sql.begin('isolation level serializable read only', (t) => t`SHOW transaction_isolation`);
  const refused = await refusal(sql.begin('read only', (t) => insert(t, 5, 'refused')));
  const piped = await sql.begin((t) => [insert(t, 6, 'one'), insert(t, 7, 'two'), t`SELECT 3 AS n`]);
  return [await items(sql), level, refused, piped.map((result) => result.count)];
}

async function prepared(sql) {
  const repeated = [];
  for (let n = 0; n < 25; n++) repeated.push((await sql`SELECT ${n}::int * 2 + 1 AS v`)[0].v);
  let sum = 0;
  for (let turn = 0; turn < 2; turn++) {
    for (let n = 0; n < 60; n++) sum += (await sql.unsafe(`SELECT $1::int + ${n} AS v`, [turn], { prepare: true }))[0].v;
  }
  const unprepared = await sql.unsafe('SELECT $1::int AS v', [5]);
  const described = await sql`SELECT ${1}::int AS a, ${'x'}::text AS b`.describe();
  return [repeated, sum, [...unprepared], described.string, described.types, described.columns.map((column) => [column.name, column.type])];
}

async function cursors(sql) {
  let sum = 0, reads = 0;
  for await (const batch of sql`SELECT generate_series(1, 500) AS n`.cursor(70)) {
    reads += 1;
    for (const row of batch) sum += row.n;
  }
  const first = [];
  await sql`SELECT generate_series(1, 100000) AS n`.cursor(5, (batch) => { first.push(batch.length); return first.length < 3 ? undefined : sql.CLOSE; });
  const walked = [];
  await sql`SELECT generate_series(1, 7) AS n`.forEach((row) => walked.push(row.n));
  return [sum, reads, first, walked, await rows(sql`SELECT 'usable'`)];
}

async function copy(sql) {
  await empty(sql);
  const into = await sql`COPY drivers.items (owner, id, name) FROM STDIN`.writable();
  await pipeline(Readable.from(Array.from({ length: 1000 }, (_, n) => `${OWNER}\t${n}\trow ${n}\n`)), into);
  let out = '';
  const stream = await sql`COPY (SELECT id, name FROM drivers.items WHERE owner = 'postgres.js' ORDER BY id) TO STDOUT`.readable();
  for await (const chunk of stream) out += chunk;
  return [out.length, out.slice(-30), await rows(sql`SELECT 'usable'`)];
}

async function notify(sql) {
  const heard = [];
  const { unlisten } = await sql.listen('postgres_js_news', (payload) => heard.push(payload));
  for (let n = 0; n < 5; n++) await sql.notify('postgres_js_news', `item ${n}`);
  for (let turn = 0; turn < 1000 && heard.length < 5; turn++) await sleep(20);
  await unlisten();
  return heard;
}

async function cancel(sql) {
  const begin = Date.now();
  const query = sql`SELECT pg_sleep(30)`.execute();
  setTimeout(() => query.cancel(), 200);
  return [await refusal(query), Date.now() - begin < 20000, await rows(sql`SELECT 'usable'`)];
}

async function errors(sql) {
  await empty(sql);
  const seen = [];
  for (const text of ['SELEC 1', 'SELECT 1/0', 'SELECT * FROM nowhere', "SELECT 'x'::int", "INSERT INTO drivers.items (owner, id) VALUES ('nobody', 1)"]) {
    seen.push(await refusal(sql.unsafe(text)), await refusal(sql.unsafe(text, [], { prepare: true })));
  }
  await insert(sql, 1, 'first');
  seen.push(await refusal(sql.begin(async (t) => { await insert(t, 2, 'lost'); await insert(t, 1, 'again'); })));
  const together = await Promise.all([rows(sql`SELECT 1`), refusal(sql`SELECT 1/0`), rows(sql`SELECT 3`)]);  // on one wire
  const texts = await sql.unsafe('SELECT 1 AS a; SELECT 2 AS b');
  return [seen, together, texts.map((result) => [...result]), await items(sql), await rows(sql`SELECT 'usable'`)];
}

async function values(sql, list) {
  const seen = [];
  for (const value of list) {
    seen.push([value, (await rows(sql.unsafe(`SELECT ${value}`)))[0][0], (await rows(sql.unsafe(`SELECT ${value}, $1::int`, [1], { prepare: true })))[0][0]]);
  }
  return seen;
}

async function types(sql) {
  const given = await rows(sql`SELECT ${'1099511627776'}::int8, ${'7.5'}::numeric, ${'ü'}::text, ${Buffer.from([0, 1])}::bytea, ${sql.json({ a: [1] })}::jsonb,
    ${sql.array([1, 2])}::int4[], ${null}::int, ${new Date(86400000)}::timestamptz`);
  return [await values(sql, VALUES), given];
}

async function batch(sql) {
  await empty(sql);
  await sql`INSERT INTO drivers.items ${sql(Array.from({ length: 200 }, (_, n) => ({ owner: OWNER, id: n, name: `row ${n}` })))}`;
  const ended = await Promise.all(Array.from({ length: 40 }, (_, n) => (n === 20 ? refusal(insert(sql, 19, 'twice')) : insert(sql, 1000 + n, 'piped'))));
  return [ended[20], await rows(sql`SELECT count(*), sum(id) FROM drivers.items WHERE owner = ${OWNER}`)];
}

async function parameters() {
  const sql = await open();
  const show = (on = sql) => rows(on`SELECT current_setting('work_mem'), current_setting('search_path'), current_setting('TimeZone')`);
  const seen = [await show()];
  await sql`SET work_mem = '7MB'`;
  await sql`SET search_path = drivers, public`;
  await sql.unsafe("SET TimeZone = 'Asia/Tokyo'");
  seen.push(await show(), sql.parameters.TimeZone);
  await sql.begin(async (t) => { await t`SET work_mem = '9MB'`; await t`SET LOCAL TimeZone = 'UTC'`; seen.push(await show(t)); throw new Error('back'); })
    .catch(() => {});
  seen.push(await show());
  await sql.end();
  return seen;
}

async function session_state() {
  const sql = await open();
  const mine = await sql.reserve();
  await mine`CREATE TEMPORARY TABLE mine (n int)`;
  for (let n = 0; n < 5; n++) await mine`INSERT INTO mine VALUES (${n})`;
  const seen = [await rows(mine`SELECT count(*), sum(n) FROM mine`)];
  await mine`SELECT pg_advisory_lock(4715)`;
  seen.push(await rows(mine`SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()`));
  seen.push(await rows(mine`SELECT pg_advisory_unlock(4715), pg_advisory_unlock(4715)`));
  await mine`DROP TABLE mine`;
  mine.release();
  await sql.end();
  return seen;
}

async function large_objects(sql) {
  const large = await sql.largeObject();  // a transaction of its own, until it is closed
  await large.write(Buffer.alloc(100000, 'abc'));
  await large.seek(50000);
  const [{ data }] = await large.read(6);
  const size = await large.size();
  await large.close();
  const [{ oid }] = await sql`SELECT max(oid) AS oid FROM pg_largeobject_metadata WHERE lomowner = current_user::regrole`;
  return [data, [...size], await rows(sql`SELECT length(lo_get(${oid})), lo_unlink(${oid})`)];
}

async function parallel() {
  const session = async (number) => {
    const mine = await open();
    try {
      await mine.unsafe(`SET work_mem = '${1000 + number}kB'`);
      let sum = 0;
      for (let turn = 0; turn < 10; turn++) {
        const [{ v, memory }] = await mine`SELECT ${turn}::int * ${number}::int AS v, current_setting('work_mem') AS memory`;
        if (v !== turn * number || memory !== `${1000 + number}kB`) throw new Error(`session ${number}: ${v} ${memory}`);
        if (turn % 3 === 0 && (await refusal(mine`SELECT ${number}::int/0`))[0] !== '22012') throw new Error('no division by zero');
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
  const sql = await open({ max: 4 });
  const seen = await Promise.all(Array.from({ length: 40 }, (_, n) => rows(sql`SELECT ${n}::int + 1`)));
  await sql.end();
  return seen.map(([[v]]) => v);
}

const scenarios = { transactions, prepared, cursors, copy, notify, cancel, errors, types, user_types: (sql) => values(sql, USER_VALUES), batch, parameters,
  session_state, large_objects, parallel, pool };
main(Object.fromEntries(Object.entries(scenarios).map(([name, body]) => [name, { movable: false, body }])), open, (sql) => sql.end());
