-- name: select_visitor
-- Everything that is held of one visitor, but for the events.
SELECT id, ip_hash, browser, os, device, language, profile_detected, visit_count,
       first_visit, last_visit
FROM visitors
WHERE id = $1;

-- name: select_visitor_events
-- $2 events of one visitor, newest first, from the beginning or older than the one at ($3, $4).
-- They are found by visitor and then sorted: reading the newest events of everybody until enough
-- of this one's have come could mean to read them all.
WITH found AS MATERIALIZED (
    SELECT created_at, id, event_type, event_data, page_url, referrer, session_duration
    FROM events
    WHERE visitor_id = $1
      AND (block_visitors IS NULL OR $1 = ANY(block_visitors))
      AND ($3::timestamptz IS NULL
          OR (block_from <= $3 AND (created_at, id) < ($3::timestamptz, $4::uuid)))
)
SELECT id, event_type, event_data::text AS event_data, page_url, referrer, session_duration,
       created_at
FROM found
ORDER BY created_at DESC, id DESC
LIMIT $2;

-- name: delete_visitor_events
-- Remove one bite of at most $2 events of a visitor, none later than $3, or whoever sends events all
-- the time would never be done with. Rows that somebody else is removing are left to them, so that
-- two who do this never wait for each other.
WITH bite AS (
    SELECT created_at, id FROM analytics_events WHERE visitor_id = $1 AND created_at <= $3
    LIMIT $2 FOR UPDATE SKIP LOCKED
)
DELETE FROM analytics_events AS e USING bite
WHERE e.created_at = bite.created_at AND e.id = bite.id
RETURNING e.created_at;

-- name: lock_visitor
-- Hold the visitor's row, and with it everybody who stores an event of theirs.
SELECT id FROM visitors WHERE id = $1 FOR UPDATE;

-- name: delete_last_events
-- Remove what is left of a visitor's events.
DELETE FROM analytics_events WHERE visitor_id = $1 RETURNING created_at;

-- name: delete_visitor_places
-- Remove the places of a visitor's events.
DELETE FROM event_places WHERE visitor_id = $1;

-- name: delete_visitor
-- Remove the visitor's own row.
DELETE FROM visitors WHERE id = $1;

-- name: bump_copy_generation
-- Say that the visitors in Redis' copy are to be filled in anew.
UPDATE installation SET copy_generation = copy_generation + 1;

-- name: delete_sketches
-- Remove the sketches of some days; they are made again from the rows that are left.
DELETE FROM unique_sketches WHERE day = ANY($1::date[]);
