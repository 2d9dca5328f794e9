-- The message that was asked for: by its SID, or by the log position of one of its events (the points on charts carry one).
-- Variable: sid, as typed. Returns one SID, or nothing.
SELECT message_sid
FROM events
WHERE
    message_sid = trim(${sid:sqlstring})
    OR position = CASE WHEN trim(${sid:sqlstring}) ~ '^[0-9]{1,18}$' THEN trim(${sid:sqlstring})::bigint END
LIMIT 1
