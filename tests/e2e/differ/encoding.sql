SET client_encoding TO 'LATIN1'

SHOW client_encoding

SELECT length('aeiou'), chr(228) = E'\u00e4'

SET my.own = 'plain'

SET NAMES 'UTF8'

SHOW client_encoding

SELECT chr(228), 'ünïcödé ✓', length('ünïcödé ✓')

SET application_name = 'ünïcödé'

SHOW application_name

SET client_encoding = 'no_such_encoding'

RESET client_encoding
