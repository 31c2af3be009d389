SET SESSION AUTHORIZATION app

SET work_mem = '5MB'

SET ROLE app

SELECT current_user, session_user, current_setting('work_mem'), current_setting('role'), current_setting('is_superuser')

SELECT current_user, session_user, current_setting('work_mem'), current_setting('role')

SET log_statement = 'none'

RESET ROLE

SELECT current_user, session_user, current_setting('role')

RESET SESSION AUTHORIZATION

SET log_min_duration_statement = 100000

SELECT current_user, session_user, current_setting('is_superuser'), current_setting('log_min_duration_statement')

SET ROLE app

SELECT current_user, current_setting('log_min_duration_statement')

RESET ALL

SELECT current_user, session_user, current_setting('log_min_duration_statement')
