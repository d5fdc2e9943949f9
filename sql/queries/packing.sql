-- name: lock_blocks
-- One at a time packs events, or takes some out of blocks; until the end of the transaction.
SELECT pg_advisory_xact_lock(hashtext('maicivy.blocks'));

-- name: pack_next_events
-- Move the events from the place ($1, $2) on and before $3, at most $4 and few more than $5 bytes of
-- data, into a block. Answers where the next begin, or nothing when there were none.
WITH ahead AS (
    SELECT created_at, id, event_data
    FROM analytics_events
    WHERE created_at >= $1 AND created_at < $3 AND (created_at, id) >= ($1, $2::uuid)
    ORDER BY created_at, id
    LIMIT $4
),
weighed AS (
    SELECT created_at, id,
           sum(octet_length(event_data::text)) OVER (ORDER BY created_at, id)
               - coalesce(octet_length(event_data::text), 0) AS bytes_before
    FROM ahead
),
last AS MATERIALIZED (
    SELECT created_at, id
    FROM weighed
    WHERE coalesce(bytes_before, 0) <= $5
    ORDER BY created_at DESC, id DESC
    LIMIT 1
),
moved AS (
    DELETE FROM analytics_events AS e
    WHERE e.created_at >= $1 AND e.created_at < $3 AND (e.created_at, e.id) >= ($1, $2::uuid)
      AND (e.created_at, e.id) <= ((SELECT created_at FROM last), (SELECT id FROM last))
    RETURNING e AS event
)
SELECT last.created_at, last.id, packed.events
FROM last, (SELECT count(*) AS events, pack_events(array_agg(event)) FROM moved) AS packed;

-- name: delete_expired_blocks
-- Remove the blocks that end before $1; answers how many events they had.
WITH deleted AS (DELETE FROM packed_events WHERE last_at < $1 RETURNING events)
SELECT coalesce(sum(events), 0)::bigint FROM deleted;

-- name: trim_blocks
-- Write the blocks that begin before $1 anew without the events before $1; answers how many those
-- were in each. There are one or two, for a block is a part of a day.
WITH border AS MATERIALIZED (
    SELECT block_id FROM packed_events WHERE first_at < $1 AND last_at >= $1
),
removed AS (
    DELETE FROM packed_events AS p USING border WHERE p.block_id = border.block_id
)
SELECT count(*) FILTER (WHERE created_at < $1) AS events,
       pack_events(array_agg(
           ROW(id, visitor_id, event_type, event_data, page_url, referrer, session_duration,
               created_at, updated_at, deleted_at)::analytics_events
       ) FILTER (WHERE created_at >= $1))
FROM events
WHERE block_id = ANY(ARRAY(SELECT block_id FROM border))
GROUP BY block_id;

-- name: forget_in_blocks
-- Write at most $2 blocks anew without the events of the visitor $1; answers their instants.
WITH found AS MATERIALIZED (
    SELECT block_id FROM packed_events WHERE $1::uuid = ANY(visitor_ids) LIMIT $2
),
removed AS (
    DELETE FROM packed_events AS p USING found WHERE p.block_id = found.block_id
)
SELECT array_agg(created_at) FILTER (WHERE visitor_id = $1) AS instants,
       pack_events(array_agg(
           ROW(id, visitor_id, event_type, event_data, page_url, referrer, session_duration,
               created_at, updated_at, deleted_at)::analytics_events
       ) FILTER (WHERE visitor_id <> $1))
FROM events
WHERE block_id = ANY(ARRAY(SELECT block_id FROM found))
GROUP BY block_id;
