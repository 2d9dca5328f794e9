-- Whether this session is what its connection parameters asked for; a proxy between may leave them out.
-- No parameters. Returns one row: role text, isolation text.
SELECT current_user AS role, current_setting('transaction_isolation') AS isolation
