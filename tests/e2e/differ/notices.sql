DO $$ BEGIN RAISE NOTICE 'a notice'; RAISE WARNING 'a warning'; RAISE INFO 'some info'; END $$

DROP TABLE IF EXISTS differ_no_such_table

ROLLBACK

COMMIT

SET LOCAL work_mem = '5MB'

SET client_min_messages = debug1

SELECT 1

SET client_min_messages = error

DO $$ BEGIN RAISE NOTICE 'not seen'; END $$

RESET client_min_messages

DO $$ BEGIN RAISE NOTICE USING MESSAGE = 'with', DETAIL = 'detail', HINT = 'hint', ERRCODE = '01234', COLUMN = 'c', TABLE = 't'; END $$
