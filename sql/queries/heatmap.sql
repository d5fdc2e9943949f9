-- name: select_heatmap
-- The 10,000 places with the most events since $1, as a JSON array, and how many they are; of viewports
-- from $2 to $3 pixels wide, unless these are NULL. Text and not rows, for what is made here is not made of 10,000 objects while everybody else waits.
WITH places AS (
    SELECT x, y, count(*) AS count
    FROM (
        -- in the order of the index: grouping what is sorted takes half the time of hashing it
        SELECT x, y FROM event_places
        WHERE created_at >= $1 AND ($2::integer IS NULL OR width >= $2)
          AND ($3::integer IS NULL OR width <= $3)
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

-- name: select_page_heatmap
-- The same of the path $4 alone, with any query or, unless it is NULL, with the query $5.
WITH places AS (
    SELECT x, y, count(*) AS count
    FROM (
        SELECT x, y FROM event_places
        WHERE created_at >= $1 AND path = $4 AND ($5::text IS NULL OR rest = $5)
          AND ($2::integer IS NULL OR width >= $2) AND ($3::integer IS NULL OR width <= $3)
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
