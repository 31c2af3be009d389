SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ

SHOW transaction_isolation

SHOW default_transaction_isolation

SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY

SHOW transaction_read_only

CREATE TABLE differ_forbidden (n int)

SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE

SHOW transaction_read_only

BEGIN

SET TRANSACTION ISOLATION LEVEL SERIALIZABLE

SHOW transaction_isolation

COMMIT

SHOW transaction_isolation

SET default_transaction_isolation TO DEFAULT

SHOW transaction_isolation
