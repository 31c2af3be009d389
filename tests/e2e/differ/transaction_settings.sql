BEGIN; SET LOCAL search_path TO differ_local; SHOW search_path; ROLLBACK

SHOW search_path

BEGIN; SET search_path TO differ_kept; COMMIT; BEGIN; SET search_path TO differ_undone; ROLLBACK

SHOW search_path

SET search_path TO DEFAULT; SHOW search_path

BEGIN READ ONLY; SET work_mem = '5MB'; COMMIT

SHOW work_mem

SET TRANSACTION READ ONLY

SHOW transaction_read_only

BEGIN; SET transaction_read_only = on; SHOW transaction_read_only; COMMIT

SHOW transaction_read_only

SET statement_timeout = 200

SELECT pg_sleep(5)

RESET statement_timeout

SELECT pg_sleep(0.01)
