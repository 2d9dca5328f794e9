-- Two triggers per append-only table instead of one. Where a table is distributed over several servers, a trigger that names TRUNCATE is
-- not created on its parts; a trigger for all three would leave UPDATE and DELETE of the parts unguarded as well.

-- Replaced by the two below.
DROP TRIGGER events_are_append_only ON events;

-- Grants already stop our roles; this stops the owner and a superuser who forgot.
CREATE TRIGGER events_are_append_only BEFORE UPDATE OR DELETE ON events
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The same for all of them at once.
CREATE TRIGGER events_are_not_truncated BEFORE TRUNCATE ON events
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Replaced by the two below.
DROP TRIGGER quarantined_callbacks_are_append_only ON quarantined_callbacks;

-- The same for what was set aside.
CREATE TRIGGER quarantined_callbacks_are_append_only BEFORE UPDATE OR DELETE ON quarantined_callbacks
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The same for all of it at once.
CREATE TRIGGER quarantined_callbacks_are_not_truncated BEFORE TRUNCATE ON quarantined_callbacks
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
