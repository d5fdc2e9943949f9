-- name: select_properties
-- The properties that events of the type $1 had from $2 to $3 exclusive, those of at least $4 visitors,
-- the others as one: $5 after skipping $6.
WITH sums AS (
    SELECT key AS value, count(DISTINCT visitor_id) AS visitors, count(*) AS events
    FROM events
    CROSS JOIN LATERAL jsonb_object_keys(
        CASE jsonb_typeof(event_data) WHEN 'object' THEN event_data ELSE '{}' END) AS key
    WHERE created_at >= $2 AND created_at < $3 AND block_to >= $2 AND block_from < $3
      AND event_type = $1
    GROUP BY key
)
SELECT CASE WHEN visitors < $4 THEN '(other)' ELSE value END AS name,
       sum(visitors)::bigint AS visitors, sum(events)::bigint AS events
FROM sums
GROUP BY 1
ORDER BY CASE WHEN visitors < $4 THEN '(other)' ELSE value END = '(other)', 2 DESC, 1
LIMIT $5 OFFSET $6;

-- name: select_property_values
-- The values of the property $7 of these events, as text.
WITH sums AS (
    SELECT left(event_data ->> $7, 500) AS value, count(DISTINCT visitor_id) AS visitors,
           count(*) AS events
    FROM events
    WHERE created_at >= $2 AND created_at < $3 AND block_to >= $2 AND block_from < $3
      AND event_type = $1 AND jsonb_typeof(event_data) = 'object' AND event_data ? $7
    GROUP BY 1
)
SELECT CASE WHEN visitors < $4 OR value IS NULL THEN '(other)' ELSE value END AS name,
       sum(visitors)::bigint AS visitors, sum(events)::bigint AS events
FROM sums
GROUP BY 1
ORDER BY CASE WHEN visitors < $4 OR value IS NULL THEN '(other)' ELSE value END = '(other)', 2 DESC, 1
LIMIT $5 OFFSET $6;
