BEGIN

DECLARE differ_cursor SCROLL CURSOR FOR SELECT generate_series(1, 10)

FETCH 2 FROM differ_cursor

MOVE FORWARD 3 IN differ_cursor

FETCH BACKWARD 1 FROM differ_cursor

FETCH ALL FROM differ_cursor

FETCH 1 FROM differ_cursor

CLOSE differ_cursor

FETCH 1 FROM differ_cursor

ROLLBACK

DECLARE differ_outside CURSOR FOR SELECT 1

DECLARE differ_held CURSOR WITH HOLD FOR SELECT generate_series(1, 5)

FETCH 2 FROM differ_held

FETCH 2 FROM differ_held

CLOSE differ_held

CLOSE ALL

FETCH 1 FROM differ_held
