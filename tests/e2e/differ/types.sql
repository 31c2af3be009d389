SELECT 1::int2, 2::int4, 3::int8, 4.25::numeric, 5.5::float4, 6.5::float8

SELECT 'text', 'varchar'::varchar(10), 'c'::char(3), 'n'::name, ''::text

SELECT '2024-02-29'::date, '12:34:56'::time, '2024-02-29 12:34:56'::timestamp, '2024-02-29 12:34:56Z'::timestamptz, '1 day'::interval

SELECT ARRAY[1, NULL, 3], ARRAY[['a', 'b'], ['c', 'd']], '{}'::int[]

SELECT '{"a": [1, 2]}'::json, '{"a": [1, 2]}'::jsonb, '<a/>'::xml

SELECT ROW(1, 'a', NULL), '[1,5)'::int4range, 'a=>b'::text, B'1010', '12:34:56:78:9a:bc'::macaddr, '10.0.0.0/8'::inet

SELECT '\xdeadbeef'::bytea, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid, 'NaN'::float8, '-Infinity'::numeric, 'infinity'::date

SELECT '(1,2)'::point, 1::money, 1::oid, 'pg_class'::regclass, '1/2'::pg_lsn
