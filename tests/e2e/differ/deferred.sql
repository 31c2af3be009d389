CREATE TABLE differ_parent (n int PRIMARY KEY)

CREATE TABLE differ_child (n int REFERENCES differ_parent DEFERRABLE INITIALLY DEFERRED)

INSERT INTO differ_child VALUES (1)

BEGIN

INSERT INTO differ_child VALUES (2)

COMMIT

BEGIN

SET CONSTRAINTS ALL IMMEDIATE

INSERT INTO differ_child VALUES (3)

ROLLBACK

SELECT * FROM differ_child

DROP TABLE differ_child, differ_parent
