SELECT 1

SELECT 1 AS one, 'two'::text AS two, 3.5::numeric AS three, NULL::int AS four, true AS five

SELECT generate_series(1, 5) AS n

SELECT 1 WHERE false

VALUES (1, 'a'), (2, 'b')

TABLE pg_catalog.pg_am ORDER BY oid

SELECT now() IS NOT NULL, current_user, session_user, current_database()

SELECT
