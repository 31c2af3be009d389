// What the Node programs share; the rules are in common.py.
'use strict';
const fs = require('fs');

const VALUES = ['true', '(-32768)::int2', '2147483647::int4', '9223372036854775807::int8', '1.5::float4', "'-Infinity'::float8",
  '12345678901234567890.0123456789::numeric', "'Größe ≠ 漢字 🙂'::text", "''::text", "'\\x00ff10275c'::bytea",
  `'{"b": [1, 2.5, null], "a": "ü"}'::json`, `'{"b": [1, 2.5, null], "a": "ü"}'::jsonb`, "'2024-02-29 12:34:56.789'::timestamp",
  "'2024-02-29 12:34:56.789+02'::timestamptz", "'2024-02-29'::date", "'23:59:59.5'::time", "'00112233-4455-6677-8899-aabbccddeeff'::uuid",
  'ARRAY[1, 2, NULL]::int4[]', `ARRAY['a', 'b,"c', NULL]::text[]`, 'ARRAY[[1.5, 2], [3, 4]]::numeric[]', 'NULL::int4', "'192.168.1.7'::inet",
  "'3 days 04:05:06.7'::interval", "'[1,10)'::int4range", "'(1,2)'::point", "B'10110'::bit(5)", "repeat('long', 5000)"];
const USER_VALUES = ["'green'::drivers.colour", "ARRAY['red', 'blue', NULL]::drivers.colour[]", "ROW(1, 2, 'a b')::drivers.spot",
  "ARRAY[ROW(1, 2, 'a'), ROW(3, NULL, NULL)]::drivers.spot[]", '55::drivers.percent', "'[1.5,2.5)'::drivers.span", "'sad'::mood"];

const server = { host: process.env.PGHOST || '127.0.0.1', port: Number(process.env.PGPORT || 5432), user: process.env.PGUSER || 'app',
  database: process.env.PGDATABASE || 'app' };

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function canonical(_key, value) {
  if (typeof value === 'bigint') return `${value}n`;
  if (Buffer.isBuffer(value)) return value.toString('hex');
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value);
  return value === undefined ? 'undefined' : value;
}

// scenarios: { name: { movable, body(connection) } }; open and close are of the connection that all of them use.
async function main(scenarios, open, close) {
  let connection = null;
  async function one(name) {
    const line = { scenario: name };
    try {
      connection ||= await open();
      line.result = await scenarios[name].body(connection);
    } catch (error) {
      line.error = `${error.name}: ${error.message}`;
      console.error(name, error);
      try { await close(connection); } catch (late) { console.error('closing', late); }
      connection = null;
    }
    fs.writeSync(1, JSON.stringify(line, canonical) + '\n');
  }
  const words = process.argv.slice(2);
  if (words[0] === 'loop') {
    while (!fs.existsSync(process.env.DRIVER_STOP)) {
      for (const name of Object.keys(scenarios)) if (scenarios[name].movable) await one(name);
    }
  } else {
    for (const name of words.length ? words : Object.keys(scenarios)) await one(name);
  }
  if (connection) await close(connection);
  process.exit(0);
}

module.exports = { VALUES, USER_VALUES, SESSIONS: 16, server, sleep, main };
