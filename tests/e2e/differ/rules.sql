CREATE TABLE differ_rules (n int)

CREATE TABLE differ_rules_log (n int)

CREATE RULE also AS ON INSERT TO differ_rules DO ALSO INSERT INTO differ_rules_log VALUES (NEW.n)

INSERT INTO differ_rules VALUES (1)

INSERT INTO differ_rules VALUES (2), (3) RETURNING n

CREATE RULE instead AS ON DELETE TO differ_rules DO INSTEAD NOTHING

DELETE FROM differ_rules

SELECT count(*) FROM differ_rules_log

DROP TABLE differ_rules, differ_rules_log
