-- name: select_properties
-- What events of the type $1 said of themselves from $2 to $3 exclusive: the properties they had, or
-- the values of the one called $8. Those of at least $4 visitors, the others as one: $5 after skipping
-- $6, or only those named in $7.
WITH sums AS (
    SELECT value, count(DISTINCT visitor_id) AS visitors, count(*) AS events
    FROM events
    CROSS JOIN LATERAL event_properties(event_data, $8) AS value
    WHERE created_at >= $2 AND created_at < $3 AND block_to >= $2 AND block_from < $3
      AND event_type = $1 AND ($7::text[] IS NULL OR value = ANY($7))
    GROUP BY value
)
SELECT CASE WHEN visitors < $4 OR value IS NULL THEN '(other)' ELSE value END AS name,
       sum(visitors)::bigint AS visitors, sum(events)::bigint AS events
FROM sums
GROUP BY 1
ORDER BY CASE WHEN visitors < $4 OR value IS NULL THEN '(other)' ELSE value END = '(other)', 2 DESC, 1
LIMIT $5 OFFSET $6;

-- name: select_filtered_properties
-- The same of events that match filters ($11 to $18: source, browser, os, device, path, event type,
-- theme, profile; NULL for none) on the days $9 to $10, which are those from $2 to $3.
WITH sums AS (
    SELECT value, count(DISTINCT visitor_id) AS visitors, count(*) AS events
    FROM events AS e
    CROSS JOIN LATERAL event_properties(e.event_data, $8) AS value
    WHERE e.created_at >= $2 AND e.created_at < $3 AND e.block_to >= $2 AND e.block_from < $3
      AND e.event_type = $1 AND ($7::text[] IS NULL OR value = ANY($7))
      AND ($15::text IS NULL OR event_path(e.page_url) = $15)
      AND ($16::text IS NULL OR e.event_type = $16)
      AND ($17::text IS NULL OR event_theme(e.event_type, e.event_data, e.page_url) = $17)
      AND ($18::text IS NULL OR EXISTS (
              SELECT FROM visitors AS w WHERE w.id = e.visitor_id AND w.profile_detected = $18))
      AND EXISTS (
              SELECT FROM visits_between($9, $10, $11, $12, $13, $14) AS v
              WHERE v.visitor_id = e.visitor_id
                AND e.created_at BETWEEN v.started_at AND v.last_at)
    GROUP BY value
)
SELECT CASE WHEN visitors < $4 OR value IS NULL THEN '(other)' ELSE value END AS name,
       sum(visitors)::bigint AS visitors, sum(events)::bigint AS events
FROM sums
GROUP BY 1
ORDER BY CASE WHEN visitors < $4 OR value IS NULL THEN '(other)' ELSE value END = '(other)', 2 DESC, 1
LIMIT $5 OFFSET $6;
