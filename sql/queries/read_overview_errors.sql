-- The error codes that most messages had.
-- since timestamptz: from when on. Returns error_code and messages, most first, ten at most. Uses delivery_stats_pkey.
SELECT error_code, sum(errors)::bigint AS messages
FROM delivery_stats
WHERE minute >= %(since)s::timestamptz AND error_code <> ''
GROUP BY error_code
HAVING sum(errors) > 0
ORDER BY messages DESC, error_code
LIMIT 10
