-- Let all statements of this transaction see the same rows. The first statement of a transaction. Returns nothing.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY
