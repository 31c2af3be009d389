CREATE TEMP TABLE differ_temp (n int)

INSERT INTO differ_temp SELECT generate_series(1, 3)

SELECT * FROM differ_temp ORDER BY n

SELECT n INTO TEMPORARY differ_temp2 FROM differ_temp

SELECT count(*) FROM differ_temp2

CREATE TABLE pg_temp.differ_temp3 AS SELECT 1 AS one

SELECT * FROM pg_temp.differ_temp3

DROP TABLE differ_temp, differ_temp2, differ_temp3

SELECT * FROM differ_temp

BEGIN

CREATE TEMP TABLE differ_temp (n int) ON COMMIT DROP

INSERT INTO differ_temp VALUES (1)

COMMIT

SELECT * FROM differ_temp
