-- modes: simple extended prepared pipeline
-- connect: options='-c work_mem=5MB --search-path=pg_catalog,public -c my.own=a\ b -c default_transaction_isolation=serializable'
SELECT current_setting('work_mem'), current_setting('search_path'), current_setting('my.own'), current_setting('transaction_isolation')

SET work_mem = '6MB'

RESET work_mem

SHOW work_mem

RESET ALL

SELECT current_setting('work_mem'), current_setting('search_path'), current_setting('my.own'), current_setting('transaction_isolation')
