SET ROLE app

SELECT current_user, session_user

SET search_path TO "$user", public

RESET ROLE

SELECT current_user, session_user

SET SESSION AUTHORIZATION reader

SELECT current_user, session_user

SET ROLE postgres

SELECT current_user, session_user

RESET SESSION AUTHORIZATION

SELECT current_user, session_user

SET ROLE NONE

BEGIN; SET LOCAL ROLE app; SELECT current_user; COMMIT

SELECT current_user

BEGIN; SET ROLE app; ROLLBACK

SELECT current_user

SET SESSION AUTHORIZATION app; SET ROLE app

SELECT current_user, session_user

SET SESSION AUTHORIZATION DEFAULT

SELECT current_user, session_user

SET ROLE no_such_role
