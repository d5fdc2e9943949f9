-- name: select_events
-- Events, newest first.
SELECT id, visitor_id, event_type, event_data::text AS event_data, page_url, created_at
FROM analytics_events
ORDER BY created_at DESC, id DESC
LIMIT $1 OFFSET $2;

-- name: select_events_before
-- Events older than the one at ($2, $3), newest first.
SELECT id, visitor_id, event_type, event_data::text AS event_data, page_url, created_at
FROM analytics_events
WHERE (created_at, id) < ($2::timestamptz, $3::uuid)
ORDER BY created_at DESC, id DESC
LIMIT $1;
