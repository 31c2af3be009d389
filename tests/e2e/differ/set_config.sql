SELECT pg_catalog.set_config('search_path', '', false)

SHOW search_path

SELECT set_config('work_mem', '5MB', false), set_config('my.own', 'it''s', false) AS own

SELECT current_setting('work_mem'), current_setting('my.own')

SELECT set_config('work_mem', '6MB', true)

SHOW work_mem

BEGIN; SELECT set_config('work_mem', '7MB', true); SHOW work_mem; COMMIT

SHOW work_mem

BEGIN; SELECT set_config('work_mem', '8MB', false); ROLLBACK

SHOW work_mem

SELECT set_config('work_mem', NULL, false)

SHOW work_mem

SELECT set_config('work_mem', '9' || 'MB', false)

SHOW work_mem

SELECT set_config('no_such_setting', '1', false)

SELECT set_config('TimeZone', 'Asia/Tokyo', false)

SHOW TimeZone

SELECT set_config('search_path', 'public, "$user"', 'f'), set_config('lock_timeout', '5', 'no'::bool)

SELECT current_setting('search_path'), current_setting('lock_timeout')
