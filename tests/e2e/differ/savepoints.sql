-- modes: simple extended pipeline batch
BEGIN

CREATE TABLE differ_savepoints (n int)

SAVEPOINT a

INSERT INTO differ_savepoints VALUES (1)

SAVEPOINT a

INSERT INTO differ_savepoints VALUES ('x')

ROLLBACK TO a

INSERT INTO differ_savepoints VALUES (2)

RELEASE a

ROLLBACK TO SAVEPOINT a

SELECT * FROM differ_savepoints

ROLLBACK TO no_such_savepoint

ROLLBACK

SELECT * FROM differ_savepoints

SAVEPOINT outside
