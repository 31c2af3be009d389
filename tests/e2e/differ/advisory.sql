SELECT pg_advisory_lock(4711)

SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711

SELECT pg_try_advisory_lock(4711)

SELECT pg_advisory_unlock(4711), pg_advisory_unlock(4711), pg_advisory_unlock(4711)

BEGIN; SELECT pg_advisory_xact_lock(4712); COMMIT

SELECT pg_advisory_lock(4713); SELECT 1/0

SELECT pg_advisory_unlock(4713)

SELECT pg_advisory_unlock_all()
