-- modes: simple extended prepared
SELECT repeat('x', 5000000)

SELECT repeat('y', 100000) FROM generate_series(1, 60)

SELECT length('${z*3000000}')

SELECT g, g * 2, 'row ' || g FROM generate_series(1, 3000) AS g

SELECT 1
