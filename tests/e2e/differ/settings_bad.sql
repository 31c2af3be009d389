SET differ_no_such_setting = 1

SET TimeZone = 'Nowhere/Atall'

SET work_mem = 'a lot'

SET server_version = '99'

SHOW differ_no_such_setting

RESET differ_no_such_setting

SET work_mem = 1, 2

SET work_mem =

SET LOCAL work_mem = 'x'

SET port = 1

SET shared_buffers = '1GB'

SHOW work_mem
