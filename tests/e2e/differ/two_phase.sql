-- modes: simple extended prepared
BEGIN

SET work_mem = '5MB'

PREPARE TRANSACTION 'differ'

SHOW work_mem

SELECT gid FROM pg_prepared_xacts WHERE gid = 'differ'

ROLLBACK PREPARED 'differ'

ROLLBACK PREPARED 'differ'

BEGIN

SELECT 1/0

PREPARE TRANSACTION 'differ'

SELECT 1
