BEGIN

SET work_mem = '5MB'

SAVEPOINT a

SET work_mem = '6MB'

SAVEPOINT b

SET work_mem = '7MB'

ROLLBACK TO b

SHOW work_mem

RELEASE b

SHOW work_mem

ROLLBACK TO a

SHOW work_mem

SET lock_timeout = 77

SELECT 1/0

ROLLBACK TO a

SHOW lock_timeout

SET work_mem = '8MB'

COMMIT

SHOW work_mem

SHOW lock_timeout

BEGIN; SAVEPOINT x; SET work_mem = '9MB'; ROLLBACK TO x; SET lock_timeout = 78; COMMIT

SHOW work_mem

SHOW lock_timeout

BEGIN; SAVEPOINT x; SET work_mem = '9MB'; RELEASE x; COMMIT

SHOW work_mem

BEGIN; SAVEPOINT x; SET work_mem = '10MB'; SAVEPOINT x; SET work_mem = '11MB'; ROLLBACK TO x; RELEASE x; ROLLBACK TO x; COMMIT AND CHAIN; SET work_mem = '12MB'; ROLLBACK

SHOW work_mem
