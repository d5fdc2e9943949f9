-- The names that clients gave their events, so that one sent twice is stored and counted once,
-- by whichever process. Kept for a day; `id` is the event that came first.
CREATE TABLE event_keys (
    event_id uuid PRIMARY KEY,
    id       uuid NOT NULL,
    seen_at  timestamptz NOT NULL
);

CREATE INDEX idx_event_keys_seen_at ON event_keys (seen_at);
