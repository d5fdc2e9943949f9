-- name: select_heatmap
-- Places of events since $1, on any page, on the page $2 with that query, or on the path $3 with
-- any query. Coordinates beyond 2^31 are no places on a page.
SELECT x, y, count(*) AS count
FROM (
    SELECT
        -- CASE, because a planner may check conditions in any order and a cast can fail
        CASE jsonb_typeof(event_data -> 'x')
            WHEN 'number' THEN round((event_data ->> 'x')::numeric) END AS x,
        CASE jsonb_typeof(event_data -> 'y')
            WHEN 'number' THEN round((event_data ->> 'y')::numeric) END AS y
    FROM analytics_events
    WHERE created_at >= $1
      AND ($2::text IS NULL OR page_url = $2)
      AND ($3::text IS NULL OR split_part(split_part(page_url, '#', 1), '?', 1) = $3)
) AS places
WHERE abs(x) < 2147483648 AND abs(y) < 2147483648
GROUP BY x, y
ORDER BY count DESC, x, y
LIMIT 10000;
