;

;;  ;

-- only a comment

/* another */

SELECT 1;

SELECT 2;;
