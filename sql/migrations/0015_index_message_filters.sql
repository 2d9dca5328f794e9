-- Filters of the list of messages that have no index of their own yet. The entries of most are few or short: the SID, which only
-- orders messages of one microsecond, is left out where all messages are in the index.

-- The list of one channel, newest first. Most messages are SMS, whose list is the list of all.
CREATE INDEX message_state_channel_idx ON message_state (channel, first_received_at)
WHERE channel <> 'sms';

-- The list of one recipient country, newest first: of a country that few messages go to, too.
CREATE INDEX message_state_country_idx ON message_state (country, first_received_at)
WHERE country IS NOT NULL;

-- The list of one Messaging Service, newest first.
CREATE INDEX message_state_messaging_service_idx ON message_state (messaging_service_sid, first_received_at)
WHERE messaging_service_sid IS NOT NULL;

-- The list of messages with a late event, newest first.
CREATE INDEX message_state_late_idx ON message_state (first_received_at, message_sid)
WHERE (effects_seen & 2::smallint) <> 0;

-- The list of messages with a repeated event, newest first.
CREATE INDEX message_state_duplicate_idx ON message_state (first_received_at, message_sid)
WHERE (effects_seen & 4::smallint) <> 0;

-- The list of messages whose outcome was corrected, newest first.
CREATE INDEX message_state_corrected_idx ON message_state (first_received_at, message_sid)
WHERE (effects_seen & 8::smallint) <> 0;

-- The list of messages with a status that is not known here, newest first.
CREATE INDEX message_state_unknown_idx ON message_state (first_received_at, message_sid)
WHERE (effects_seen & 16::smallint) <> 0;
