SELECT 1/0

SELECT * FROM differ_no_such_table

SELECT differ_no_such_function(1)

SELEC 1

SELECT 'unterminated

SELECT 1 +

SELECT $1

CREATE TABLE differ_errors (n int PRIMARY KEY, CONSTRAINT positive CHECK (n > 0))

INSERT INTO differ_errors VALUES (1)

INSERT INTO differ_errors VALUES (1)

INSERT INTO differ_errors VALUES (-1)

INSERT INTO differ_errors VALUES (NULL)

INSERT INTO differ_errors VALUES ('x')

DROP TABLE differ_errors

SELECT E'\xff'::bytea::text::int

DO $$ BEGIN RAISE EXCEPTION 'own' USING ERRCODE = 'XY123', DETAIL = 'more', HINT = 'less'; END $$

SELECT 1
