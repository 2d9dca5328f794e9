-- A message is identified by its account and its SID, and its state says more: conflicting outcomes, every error code, what its events
-- did. Rows of the older version keep what they have until `tracker rebuild` writes them anew.

-- An empty text stands for an event without an account, because a key has no NULL.
UPDATE message_state SET account_sid = '' WHERE account_sid IS NULL;
ALTER TABLE message_state ALTER COLUMN account_sid SET NOT NULL;

-- Two accounts may name the same SID; these are two messages.
ALTER TABLE message_state DROP CONSTRAINT message_state_pkey;
ALTER TABLE message_state ADD CONSTRAINT message_state_pkey PRIMARY KEY (account_sid, message_sid);

-- has_conflict: two different outcomes were reported. error_codes_seen: every code that was reported, the 32 smallest;
-- error_codes_truncated: there were more. error_message: Twilio's text about the failure. effects_seen: a bit for each effect that an
-- event of the message had: 1 decided, 2 late, 4 duplicate, 8 corrected, 16 unknown. The defaults are for the rows that exist.
ALTER TABLE message_state
ADD COLUMN has_conflict boolean NOT NULL DEFAULT FALSE,
ADD COLUMN error_codes_seen text [] NOT NULL DEFAULT '{}',
ADD COLUMN error_codes_truncated boolean NOT NULL DEFAULT FALSE,
ADD COLUMN error_message text,
ADD COLUMN effects_seen smallint NOT NULL DEFAULT 0;

-- Whoever writes a row says all of it.
ALTER TABLE message_state
ALTER COLUMN has_conflict DROP DEFAULT,
ALTER COLUMN error_codes_seen DROP DEFAULT,
ALTER COLUMN error_codes_truncated DROP DEFAULT,
ALTER COLUMN effects_seen DROP DEFAULT;

-- The bounds of the model, checked by the database as well.
ALTER TABLE message_state
ADD CONSTRAINT message_state_error_codes_are_bounded CHECK (cardinality(error_codes_seen) <= 32),
ADD CONSTRAINT message_state_effects_are_known CHECK (effects_seen BETWEEN 0 AND 31);

-- The messages that ever had an error code, whatever decides now. Most messages have none and are not in it.
CREATE INDEX message_state_error_codes_seen_idx ON message_state USING gin (error_codes_seen)
WHERE error_codes_seen <> '{}';

-- The list of messages with conflicting outcomes, newest first. There are few.
CREATE INDEX message_state_has_conflict_idx ON message_state (first_received_at, message_sid)
WHERE has_conflict;
