-- name: select_heatmap
-- The 10,000 places with the most events since $1, as a JSON array, and how many they are. Text and
-- not rows, for what is made here is not made of 10,000 objects while everybody else waits.
WITH places AS (
    SELECT x, y, count(*) AS count
    FROM (
        -- in the order of the index: grouping what is sorted takes half the time of hashing it
        SELECT x, y FROM event_places WHERE created_at >= $1 ORDER BY x, y
    ) AS sorted
    GROUP BY x, y
    ORDER BY count DESC, x, y
    LIMIT 10000
)
SELECT
    '[' || coalesce(string_agg(
        '{"x": ' || x || ', "y": ' || y || ', "count": ' || count || '}', ', '
        ORDER BY count DESC, x, y
    ), '') || ']' AS points,
    count(*) AS count
FROM places;

-- name: select_page_heatmap
-- The same of the path $2 alone, with any query or, unless it is NULL, with the query $3.
WITH places AS (
    SELECT x, y, count(*) AS count
    FROM (
        SELECT x, y FROM event_places
        WHERE created_at >= $1 AND path = $2 AND ($3::text IS NULL OR rest = $3)
        ORDER BY x, y
    ) AS sorted
    GROUP BY x, y
    ORDER BY count DESC, x, y
    LIMIT 10000
)
SELECT
    '[' || coalesce(string_agg(
        '{"x": ' || x || ', "y": ' || y || ', "count": ' || count || '}', ', '
        ORDER BY count DESC, x, y
    ), '') || ']' AS points,
    count(*) AS count
FROM places;
