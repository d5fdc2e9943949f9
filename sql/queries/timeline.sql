-- name: select_events
-- $1 events older than the one at ($3, $4), newest first, after skipping $2. None of them is older
-- than $5.
SELECT id, visitor_id, event_type, event_data::text AS event_data, page_url, created_at
FROM events
WHERE (created_at, id) < ($3::timestamptz, $4::uuid)
  AND created_at <= $3 AND block_from <= $3
  AND created_at >= $5 AND block_to >= $5
ORDER BY created_at DESC, id DESC
LIMIT $1 OFFSET $2;

-- name: select_reach
-- An instant that at least $1 events before the place ($2, $3) are not older than, if there are so
-- many: of the plain events alone, or of the whole blocks alone, whichever is later.
WITH plain AS (
    SELECT created_at
    FROM analytics_events
    WHERE created_at <= $2 AND (created_at, id) < ($2::timestamptz, $3::uuid)
    ORDER BY created_at DESC, id DESC
    LIMIT 1 OFFSET $1 - 1
),
blocks AS (
    SELECT last_at, min(first_at) OVER w AS first_at, sum(events) OVER w AS events
    FROM packed_events
    WHERE last_at < $2 AND last_at >= coalesce((SELECT created_at FROM plain), '-infinity')
    WINDOW w AS (ORDER BY last_at DESC, block_id)
)
SELECT greatest(
    (SELECT created_at FROM plain),
    (SELECT first_at FROM blocks WHERE events >= $1 ORDER BY events LIMIT 1)
);

-- name: select_events_between
-- All events from $1 to $2 exclusive, oldest first.
SELECT id, visitor_id, event_type, event_data::text AS event_data, page_url, referrer,
       session_duration, created_at
FROM events
WHERE created_at >= $1 AND created_at < $2 AND block_to >= $1 AND block_from < $2
ORDER BY created_at, id;
