SET work_mem = '5MB'

BEGIN

SET work_mem = '6MB'

SHOW work_mem

ROLLBACK

SHOW work_mem

BEGIN

SET work_mem = '7MB'

SELECT 1/0

COMMIT

SHOW work_mem

BEGIN; SET work_mem = '8MB'; ROLLBACK

SHOW work_mem

BEGIN; SET work_mem = '9MB'; COMMIT

SHOW work_mem

SET work_mem = '10MB'; SELECT 1/0

SHOW work_mem

BEGIN; SET work_mem = '11MB'; COMMIT; SELECT 1/0

SHOW work_mem

SET work_mem = '12MB'; BEGIN; SET lock_timeout = 7; ROLLBACK

SHOW work_mem

SHOW lock_timeout

SET work_mem = '13MB'; COMMIT; SET lock_timeout = 8; SELECT 1/0

SHOW work_mem

SHOW lock_timeout

BEGIN; SET LOCAL work_mem = '14MB'; SHOW work_mem; COMMIT

SHOW work_mem

BEGIN; SET work_mem = '15MB'; SET LOCAL work_mem = '16MB'; SHOW work_mem; COMMIT

SHOW work_mem
