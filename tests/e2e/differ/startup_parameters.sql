-- modes: simple extended prepared pipeline
-- connect: TimeZone=Europe/Paris DateStyle='German, DMY' application_name='from start-up' extra_float_digits=1 client_encoding=utf-8
SELECT current_setting('TimeZone'), current_setting('DateStyle'), current_setting('application_name'), current_setting('client_encoding')

SET TimeZone TO 'UTC'

SHOW TimeZone

RESET TimeZone

SHOW TimeZone

SET application_name = 'other'

RESET ALL

SELECT current_setting('TimeZone'), current_setting('DateStyle'), current_setting('application_name')

BEGIN

SET DateStyle TO 'ISO'

RESET DateStyle

SHOW DateStyle

ROLLBACK

DISCARD ALL

SELECT current_setting('TimeZone'), current_setting('DateStyle'), current_setting('application_name')

SET TimeZone TO DEFAULT

SHOW TimeZone
