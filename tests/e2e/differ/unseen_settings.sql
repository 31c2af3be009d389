CREATE FUNCTION public.differ_sets(name text, value text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config(name, value, false); RETURN value; END $$

SELECT public.differ_sets('TimeZone', 'Africa/Cairo')

SHOW TimeZone

SELECT public.differ_sets('DateStyle', 'SQL, DMY')

SELECT DATE '2024-12-24'

DROP FUNCTION public.differ_sets(text, text)

DO $$ BEGIN PERFORM set_config('IntervalStyle', 'sql_standard', false); END $$

SHOW IntervalStyle

DO $$ BEGIN SET work_mem = '5MB'; PERFORM set_config('my.own', 'from a block', false); END $$

SELECT current_setting('work_mem'), current_setting('my.own', true)

DO $$ BEGIN EXECUTE 'SET lock_timeout = 55'; END $$

SHOW lock_timeout
