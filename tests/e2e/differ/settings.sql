SHOW search_path

SET search_path TO pg_catalog, "Mixed Case", public

SHOW search_path

SET TimeZone TO 'Europe/Berlin'

SHOW timezone

SET TIME ZONE 'UTC'

SHOW timezone

SET TIME ZONE LOCAL

SHOW timezone

SET DateStyle = 'German, DMY'

SELECT DATE '2024-02-29'

SET IntervalStyle = iso_8601

SELECT INTERVAL '1 day 2 hours'

SET extra_float_digits = 0

SELECT 0.1::float8 + 0.2

SET bytea_output = 'escape'

SELECT '\x00ff'::bytea

SET statement_timeout = '1234ms'

SHOW statement_timeout

SET statement_timeout TO DEFAULT

SHOW statement_timeout

SET work_mem = '8MB'; SET lock_timeout = 500

SELECT current_setting('work_mem'), current_setting('lock_timeout')

RESET work_mem

SHOW work_mem

SET my.own = 'mine'

SHOW my.own

SET "my.own2" = 'quoted'

SHOW my.own2

SET application_name = 'differ''s "own"'

SHOW application_name

RESET ALL

SELECT current_setting('work_mem'), current_setting('lock_timeout'), current_setting('TimeZone'), current_setting('DateStyle'), current_setting('my.own', true), current_setting('application_name')
