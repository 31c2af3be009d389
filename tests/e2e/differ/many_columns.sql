CREATE FUNCTION public.differ_row(n int) RETURNS text LANGUAGE sql AS $$ SELECT string_agg(g::text, ',') FROM generate_series(1, n) g $$

SELECT ${1,*1599} 2

SELECT ${1,*1700} 2

SELECT length(public.differ_row(1000))

DROP FUNCTION public.differ_row(int)
