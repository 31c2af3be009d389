PREPARE differ_add (int, int) AS SELECT $1 + $2 AS sum

EXECUTE differ_add (1, 2)

EXECUTE differ_add (1)

PREPARE differ_add AS SELECT 2

EXECUTE differ_no_such

EXPLAIN (COSTS OFF) EXECUTE differ_add (3, 4)

BEGIN

PREPARE differ_two AS SELECT 'two'

ROLLBACK

EXECUTE differ_two

DEALLOCATE differ_two

DEALLOCATE differ_two

DEALLOCATE PREPARE differ_add

EXECUTE differ_add (1, 2)

PREPARE differ_three AS SELECT 3; PREPARE differ_four AS SELECT 4; SELECT 1/0

EXECUTE differ_three

DEALLOCATE ALL

EXECUTE differ_three

SELECT 1
