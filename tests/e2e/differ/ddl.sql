CREATE TABLE differ_ddl (id serial PRIMARY KEY, name text, at timestamptz DEFAULT '2024-01-01Z')

INSERT INTO differ_ddl (name) VALUES ('a'), ('b') RETURNING id, name

UPDATE differ_ddl SET name = upper(name) WHERE id = 1

DELETE FROM differ_ddl WHERE id = 2

SELECT * FROM differ_ddl

ALTER TABLE differ_ddl ADD COLUMN more int DEFAULT 5

SELECT * FROM differ_ddl

CREATE INDEX differ_index ON differ_ddl (name)

COMMENT ON TABLE differ_ddl IS 'a comment'

TRUNCATE differ_ddl

GRANT SELECT ON differ_ddl TO app

CREATE VIEW differ_view AS SELECT 1 AS one

SELECT * FROM differ_view

DROP VIEW differ_view

VACUUM differ_ddl

ANALYZE differ_ddl

CREATE TYPE differ_mood AS ENUM ('sad', 'glad')

SELECT 'sad'::differ_mood, ARRAY['glad']::differ_mood[]

DROP TYPE differ_mood

DROP TABLE differ_ddl
