SET standard_conforming_strings = off

SET escape_string_warning = off

SELECT 'a\b'

SET my.own = 'c\d'

SHOW my.own

SET standard_conforming_strings = on

SELECT 'a\b', current_setting('my.own')

SET my.own = E'tab\there'

SHOW my.own

SET my.own = $$dollar 'quoted'$$

SHOW my.own

SET my.own TO U&'\00e4'

SHOW my.own

SET my.own TO 'two'
  ' lines'

SHOW my.own

SET my.own TO /* a comment */ 'commented' -- and one more

SHOW my.own
