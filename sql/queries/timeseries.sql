-- name: select_days
-- What happened on each day from $1 to $2, and how many of its visitors had not been here in the days
-- from $3[n] on, where the n-th day is in the bucket that begins on $3[n].
SELECT r.day, r.visitors[least(r.day - b.first + 1, 32)] AS visitors, r.visits, r.events,
       r.views AS page_views, r.letters
FROM unnest($3::date[]) WITH ORDINALITY AS b (first, n)
JOIN rollup_values AS r ON r.dimension = 'all' AND r.value = '' AND r.day = $1::date + b.n::integer - 1
WHERE r.day <= $2::date;

-- name: select_hours
-- What happened in each hour from $1 to $2 exclusive.
SELECT hour, visitors, visits, events, views AS page_views, letters
FROM rollup_hours
WHERE hour >= $1 AND hour < $2;

-- name: select_filtered_buckets
-- What happened in each bucket (an hour of the zone $12 when $11 is true, else the first day of it as
-- in $13 for the days from $1 to $2) of what matches filters ($3 to $10, as in
-- select_filtered_summary). Of an hour is what belongs to visits that began in it.
WITH buckets AS (
    SELECT first, $1::date + n::integer - 1 AS day FROM unnest($13::date[]) WITH ORDINALITY AS b (first, n)
)
SELECT bucket, count(*) AS visitors, sum(visits)::bigint AS visits, sum(events)::bigint AS events,
       sum(page_views)::bigint AS page_views, sum(letters)::bigint AS letters
FROM (
    SELECT CASE WHEN $11::boolean THEN date_trunc('hour', started_at, $12)
               ELSE b.first::timestamp AT TIME ZONE 'UTC' END AS bucket,
           visitor_id, count(*) AS visits, sum(events) AS events, sum(page_views) AS page_views,
           sum(letters) AS letters
    FROM visits_between($1, $2, $3, $4, $5, $6, $7, $8, $9)
    JOIN buckets AS b USING (day)
    WHERE $10::text IS NULL OR EXISTS (
        SELECT FROM visitors AS w WHERE w.id = visitor_id AND w.profile_detected = $10)
    GROUP BY 1, visitor_id
) AS each
GROUP BY bucket;
