-- modes: simple extended prepared
CREATE TABLE differ_calls (n int)

CREATE PROCEDURE public.differ_commits(n int) LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.differ_calls VALUES (n); COMMIT; INSERT INTO public.differ_calls VALUES (n + 1); ROLLBACK; END $$

CALL public.differ_commits(1)

SELECT * FROM differ_calls

BEGIN

CALL public.differ_commits(3)

ROLLBACK

CREATE PROCEDURE public.differ_out(IN a int, OUT b int) LANGUAGE sql AS $$ SELECT a + 1 $$

CALL public.differ_out(1, NULL)

DROP PROCEDURE public.differ_out(int)

DROP PROCEDURE public.differ_commits(int)

DROP TABLE differ_calls
